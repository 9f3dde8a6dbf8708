"""Fixed threads and seeds for every test; no file in the user's home is read or written."""

import gc
import os
import random
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

#: One thread: beside other work a second one waits for its core, and small operations take fifty times as long.
#: scripts/other_cpus.py runs the tests with two as well, since these add up in another order.
THREADS = os.environ.get("XAI_WIDGETS_TEST_THREADS", "1")
# Before anything imports torch or matplotlib.
os.environ["OMP_NUM_THREADS"] = THREADS
os.environ["MPLBACKEND"] = "Agg"

_scratch = tempfile.TemporaryDirectory(prefix="xai-widgets-tests-", ignore_cleanup_errors=True)
# Weights downloaded once and settings made by hand must not decide whether a test passes.
for _name in ("TORCH_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
    os.environ[_name] = os.path.join(_scratch.name, _name.lower())

# Machines that run this are shared and slow by turns: neither a deadline nor a complaint about slow draws. "ci" tries
# the same few examples on every run, `--hypothesis-profile nightly` many and others each time.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _patient, derandomize=True, max_examples=25)
settings.register_profile("nightly", _patient, max_examples=200)
settings.load_profile("ci")


def pytest_addoption(parser):
    parser.addoption(
        "--rounding", action="store_true", help="only tests that allow for rounding, see closeness.py"
    )


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--rounding"):
        return
    chosen = [item for item in items if _names(_code(item.function)) & {"assert_close", "near", "rounding"}]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_collection_finish():
    """Keep what is imported by now out of garbage collection, which would take a second with torch."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()


def _code(function):
    """Return the code of a test, inside of the wrapper of Hypothesis."""
    handle = getattr(function, "hypothesis", None)
    return (handle.inner_test if handle else function).__code__


def _names(code):
    """Return the names that a function and the functions in it use."""
    inner = [_names(each) for each in code.co_consts if hasattr(each, "co_names")]
    return set(code.co_names).union(*inner)


@pytest.fixture(autouse=True)
def _seeds():
    """Give every test the same random numbers, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries under test may draw from the global generator
    # Tests that need no torch are spared its import.
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.set_num_threads(int(THREADS))
