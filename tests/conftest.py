"""What holds for every test: one thread, fixed seeds, and nothing read from or left in the user's home."""

import os
import random
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import settings

# Before anything imports torch or matplotlib. One thread: beside other work a second one waits for its core, and small
# operations take fifty times as long.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

_scratch = tempfile.TemporaryDirectory(prefix="xai-widgets-tests-", ignore_cleanup_errors=True)
# Weights downloaded once and settings made by hand must not decide whether a test passes.
for _name in ("TORCH_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
    os.environ[_name] = os.path.join(_scratch.name, _name.lower())

# The same examples on every run, and no deadline: the machines that run this are shared and slow by turns.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _seeds():
    """Give every test the same random numbers, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries under test may draw from the global generator
    # Tests that need no torch are spared its import.
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.set_num_threads(1)
