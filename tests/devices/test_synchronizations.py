"""How often a method makes the host wait for an accelerator: a bounded number of times, and once for each snapshot.

A read of a number, or an upload of an array, makes the host wait until the device has done all that it was asked for.
The counts are those of the simulated device, in a second call, which knows the network.
"""

import gpu_cases
import pytest
import simulated_device

from xai_widgets.core.run import Run
from xai_widgets.methods import METHODS

pytestmark = [
    pytest.mark.skipif(not simulated_device.AVAILABLE, reason="this torch has no backends in Python"),
    pytest.mark.filterwarnings("ignore"),
]
#: Waits of a call: to upload images and target, to validate images, scores, and map, and to measure what methods warn
#: about.
CALL = 22
#: Waits for each snapshot of a run, by default the check of the scores with the numbers that decide on the next step.
SNAPSHOT = 1
#: Methods that wait more often for each snapshot, with the number and the reason.
MORE = {
    "lime": (2, "the fit on the CPU uploads its values"),
    "kernel_shap": (2, "the fit on the CPU uploads its values"),
    "prediction_difference": (2, "patches are drawn on the CPU and uploaded"),
    "extremal": (
        3,
        "the scores that the objective does not need are completed, and the gain decides on the next step",
    ),
    "channel_extremal": (3, "as extremal"),
    "layer_wise_inverse": (6, "each of the five steps of the solver between snapshots compares costs"),
    "operation_wise_inverse": (12, "as layer_wise_inverse, and steps that are refused are tried again"),
}
#: Methods that wait for each layer or iteration, whatever the number of passes, with the largest number.
PER_LAYER = {
    "legrad": (28, "each of three layers is tested for attention in the passes to each"),
    "pattern_net": (30, "moments of each of three layers are on the CPU"),
    "pattern_attribution": (30, "moments of each of three layers are on the CPU"),
    "layer_wise_inverse": (40, "each of five units is tested for biases and signs"),
    "operation_wise_inverse": (40, "each of five units is tested for biases and signs"),
}


@pytest.fixture(scope="module")
def device():
    return simulated_device.register()


@pytest.fixture
def snapshots(monkeypatch):
    """Return a list that grows by one for each snapshot of a run."""
    made, step = [], Run._step

    def counted(self):
        snapshot = step(self)
        made.append(self.name)
        return snapshot

    monkeypatch.setattr(Run, "_step", counted)
    return made


def waits(case, device):
    """Return the number of waits in a second call."""
    case(device)
    with simulated_device.recorded() as events:
        case(device)
    return sum(number for (kind, _), number in events.items() if kind != "random")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_waits_a_bounded_number_of_times_and_once_for_each_snapshot(name, device, snapshots):
    case = gpu_cases.method_case(name)
    case(device)
    snapshots.clear()
    case(device)
    number = len(snapshots)
    each, _ = MORE.get(name, (SNAPSHOT, ""))
    most, _ = PER_LAYER.get(name, (CALL, ""))
    assert waits(case, device) <= most + each * number


#: Options that make more passes, in batches of the same size, but not more snapshots.
PASSES = {
    "integrated_gradients": "steps", "guided_nonlinearity": "steps", "smoothgrad": "samples",
    "smoothgrad_squared": "samples", "expected_gradients": "samples", "gradient_shap": "samples",
    "smooth_grad_cam_plus_plus": "samples",
}  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
def test_more_passes_do_not_wait_more_often(name, device):
    few, many = (waits(gpu_cases.method_case(name, **{PASSES[name]: number}), device) for number in (4, 24))
    # Those of few passes may leave a gap, which a warning reads.
    assert many <= few
