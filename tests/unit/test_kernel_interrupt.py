"""An interrupt of a real kernel, idle or busy, stops the computations of all workers; each can be resumed."""

import pytest

LONG = 120

SETUP = """
import threading, time
from xai_widgets.core.run import Run
from xai_widgets.core.worker import Worker
from xai_widgets.core.scheduler import check_cancelled

class Endless:
    def __init__(self):
        self.moved = threading.Event()
        self.worker = Worker()
        self.worker.submit(lambda: Run(self.steps(), total=10**9))
    def steps(self):
        while True:
            for _ in range(10):
                check_cancelled()
                time.sleep(0.001)
            self.moved.set()
            yield 1

runs = [Endless(), Endless()]
assert runs[0].moved.wait(60)
print(*{run.worker.status for run in runs})
"""

STATES = """
for _ in range(600):
    if all(run.worker.status == "cancelled" for run in runs):
        break
    time.sleep(0.1)
print(*{run.worker.status for run in runs})
"""

RESUME = """
assert all(run.worker.resume() for run in runs)
runs[0].moved.clear()
assert runs[0].moved.wait(60)
print("busy")
time.sleep(600)
"""

BUTTON = """
from xai_widgets.views import RunBar

def press(bar):
    print("busy", flush=True)
    time.sleep(600)

bar = RunBar()
bar.on_run(press)
assert all(run.worker.resume() for run in runs)
print(bar.model_id)
"""

CLOSE = """
for run in runs:
    run.worker.cancel()
print([run.worker.wait(60) for run in runs])
"""


@pytest.fixture
def kernel():
    pytest.importorskip("ipykernel")
    manager_module = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_module.start_new_kernel(startup_timeout=LONG)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code):
    """Run a cell and return its output and its status."""
    printed = []

    def write(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=LONG, output_hook=write)
    return "".join(printed).strip(), reply["content"]


def wait_until_busy(client):
    while True:
        seen = client.get_iopub_msg(timeout=LONG)
        if seen["msg_type"] == "stream" and "busy" in seen["content"]["text"]:
            return


def test_an_interrupt_stops_every_run(kernel):
    manager, client = kernel
    assert run(client, SETUP)[0] == "running"
    manager.interrupt_kernel()
    assert run(client, STATES)[0] == "cancelled"
    # A cell is interrupted when it has printed that it is busy.
    message = client.execute(RESUME)
    wait_until_busy(client)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=LONG))["parent_header"]["msg_id"] != message:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, STATES)[0] == "cancelled"
    # So is the callback of a widget.
    press = {"method": "custom", "content": {"type": "run", "id": 1}}
    content = {"comm_id": run(client, BUTTON)[0], "data": press}
    client.shell_channel.send(client.session.msg("comm_msg", content))
    wait_until_busy(client)
    manager.interrupt_kernel()
    assert run(client, STATES)[0] == "cancelled"
    assert run(client, CLOSE)[0] == "[True, True]"
