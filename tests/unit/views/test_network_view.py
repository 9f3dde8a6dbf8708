"""NetworkView: what it sends, and when."""

import gzip

from xai_widgets.views import NetworkView


def messages(view):
    """Collect the messages to the browser."""
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers))
    return sent


def test_the_network_is_sent_when_the_browser_asks():
    opened = []
    view = NetworkView(lambda: ({"name": "a network"}, [b"file", b"image"]), lambda: opened.append(1))
    sent = messages(view)
    view._handle_custom_msg({"type": "other"}, [])
    assert sent == []
    view._handle_custom_msg({"type": "open", "id": 3}, [])
    [(content, buffers)] = sent
    assert content == {"type": "network", "version": 0, "name": "a network"}
    program, wasm, *rest = buffers
    assert b"WebAssembly" in gzip.decompress(program)
    assert gzip.decompress(wasm)[:4] == b"\0asm"
    assert rest == [b"file", b"image"]
    assert view._acknowledged == 3
    assert opened == [1]
    view.close()


def test_another_network_has_another_version():
    view = NetworkView(lambda: ({}, []))
    view.status = "running"
    view.renew()
    assert (view.status, view._version) == ("waiting", 1)
    sent = messages(view)
    view._handle_custom_msg({"type": "open", "id": 1}, [])
    assert sent[0][0]["version"] == 1
    view.close()
