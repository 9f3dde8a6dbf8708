"""Run the first cell of the README in a kernel of this environment; test_environments.py runs it in others.

    python use_kernel.py README.md NAME==VERSION ...

Prints the output of the cell, and the state of the explorer once it has computed, as JSON.
"""

import json
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

from jupyter_client.manager import start_new_kernel

#: Longest wait for a cell, seconds: networks are slow on a machine that is busy.
PATIENCE = 900


def execute(client, code):
    """Run a cell and return the data of its outputs; raise the error of a cell that fails."""
    shown = []
    request = client.execute(code)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "error":
            raise RuntimeError("\n".join(content["traceback"]))
        if kind in ("execute_result", "display_data"):
            shown.append(content["data"])
        if kind == "status" and content["execution_state"] == "idle":
            return shown
    raise TimeoutError(code)


def main():
    for requirement in sys.argv[2:]:
        name, _, expected = requirement.partition("==")
        assert version(name) == expected, f"expected {requirement}, got {version(name)}"
    readme = Path(sys.argv[1]).read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=PATIENCE)
    try:
        (output,) = execute(client, code)
        finished = """
explorer = Out[max(Out)]
assert explorer.wait(800), "not computed in time"
assert explorer.run_bar.status == "done", explorer.run_bar.error
xw.export(explorer, "page.html")
import json, sys, torch, numpy
from IPython.display import display
display({"text/plain": json.dumps({
    "python": sys.version.split()[0], "torch": torch.__version__, "numpy": numpy.__version__, "file": xw.__file__,
    "label": model.predict(photograph("cat"))[0][0].label, "y": explorer.curves.y.shape})}, raw=True)
"""
        found = json.loads(execute(client, finished)[-1]["text/plain"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    print(json.dumps({"kinds": sorted(output), **found}))


if __name__ == "__main__":
    main()
