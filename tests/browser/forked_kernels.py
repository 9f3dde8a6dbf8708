"""Kernels forked from one process that has imported torch: a test does not wait for its import.

:class:`ForkServer` is that process. Jupyter starts a kernel of the kernelspec ``forked`` as a small process that asks
for a fork, passes signals on to it, and ends with it. The fork has an environment, a working directory and an output
like those of any kernel, and imports ipywidgets, anywidget and xai_widgets itself.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

NAME = "forked"
DISPLAY = "Python 3 (forked)"


class ForkServer:
    """A process that forks kernels; a kernel lives as long as Jupyter's process for it.

    Parameters
    ----------
    folder : Path
        Where its socket is; the path must be short.
    """

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "forks")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", self.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the process that forks kernels did not start")

    def install(self, kernels: Path) -> None:
        """Write the kernelspec to a folder of kernelspecs."""
        (kernels / NAME).mkdir(parents=True)
        command = [sys.executable, "-S", "-E", __file__, "start", self.address, "{connection_file}"]
        spec = {"argv": command, "display_name": DISPLAY, "language": "python"}
        (kernels / NAME / "kernel.json").write_text(json.dumps(spec))

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(address: str) -> None:
    """Fork a kernel for each connection until the standard input is closed."""
    del sys.path[0]
    import ipykernel.kernelapp  # noqa: F401
    import skimage.data
    import skimage.transform  # noqa: F401
    import torch  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                connection, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _be_kernel(connection)
                connection.close()


def _be_kernel(connection: socket.socket) -> None:
    message, outputs, _, _ = socket.recv_fds(connection, 1 << 16, 2)
    while not message.endswith(b"\n"):
        message += connection.recv(1 << 16)
    request: dict[str, Any] = json.loads(message)
    connection.send(str(os.getpid()).encode())
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    os.environ.clear()
    os.environ.update(request["environment"])
    # ipykernel watches the process of this number as its parent; the kernel ends with its connection.
    os.environ.pop("JPY_PARENT_PID", None)
    os.chdir(request["directory"])

    def end_with_connection() -> None:
        connection.recv(1)
        os._exit(0)

    threading.Thread(target=end_with_connection, daemon=True).start()
    from ipykernel import kernelapp

    sys.argv = ["ipykernel_launcher.py", "-f", request["connection_file"]]
    kernelapp.launch_new_instance()
    os._exit(0)


def start(address: str, connection_file: str) -> None:
    """Ask for a kernel, pass signals on to it, and wait for its end."""
    request = {"environment": dict(os.environ), "directory": os.getcwd(), "connection_file": connection_file}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [1, 2])
        kernel = int(connection.recv(32))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: os.kill(kernel, number))
        connection.recv(1)


if __name__ == "__main__":
    {"serve": serve, "start": start}[sys.argv[1]](*sys.argv[2:])
