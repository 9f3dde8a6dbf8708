"""Grad-CAM on tokens and channels-last layers, against pytorch-grad-cam with a `reshape_transform`."""

import pytest
import pytorch_grad_cam
import torch
from closeness import assert_close
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from token_networks import CASES, build, photographs

from xai_widgets.methods import METHODS

#: Each reshapes an output as the documentation of pytorch-grad-cam does.
RESHAPE = {
    "timm ViT": lambda output: output[:, 1:].reshape(len(output), 4, 4, -1).permute(0, 3, 1, 2),
    "timm DINOv2, registers": lambda output: output[:, 5:].reshape(len(output), 5, 5, -1).permute(0, 3, 1, 2),
    "timm Swin": lambda output: output.permute(0, 3, 1, 2),
    "Hugging Face Swin V2": lambda output: output.reshape(len(output), 4, 4, -1).permute(0, 3, 1, 2),
}


class Scores(torch.nn.Module):
    """The scores of a network, which may return an object with logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        output = self.network(x)
        return getattr(output, "logits", output)


@pytest.mark.parametrize("name", RESHAPE)
def test_a_map_is_that_of_pytorch_grad_cam(name):
    model = build(name, torch.float64)
    x = photographs(model, 1)
    layer = CASES[name].layer
    module = model.find_layers([layer])[layer]
    compared = 0
    with pytorch_grad_cam.GradCAM(Scores(model.module), [module], reshape_transform=RESHAPE[name]) as cam:
        for target in range(len(model.labels)):
            cam.activations_and_grads(x.double())[0, target].backward()
            parts = (cam.activations_and_grads.activations, cam.activations_and_grads.gradients)
            activation, gradient = (part[0].numpy() for part in parts)
            targets = [ClassifierOutputTarget(target)]
            expected = cam.get_cam_image(x, module, targets, activation, gradient).clip(min=0)
            assert_close(
                METHODS["grad_cam"].saliency(model, x, target, layer=layer), expected.astype("float32")
            )
            compared += expected.max() > 0
    assert compared > 0
