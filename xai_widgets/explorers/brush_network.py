"""The network of a perturbation brush in the browser, which answers what is painted in place of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.onnx_export import TOLERANCES, NetworkFile, exact_scores, network_file
from xai_widgets.core.validation import choice
from xai_widgets.explorers.network_facts import engine_facts, scores_facts
from xai_widgets.views import BrushView, CheckView, ClassPicker, NetworkView, ScoresView


class BrushNetwork:
    """The exported network of a brush, and the view that brings it to the browser.

    Parameters
    ----------
    model : ImageModel
        The network.
    image : callable
        Returns the image of the brush, (1, C, H, W), for which the browser compares its scores with those of torch.
    edits : sequence of (BrushView, ScoresView)
        The views that the network answers.
    picker : ClassPicker
        Chooses the marked class.
    pair : CheckView
        Whether there are two edits.
    half : bool
        Whether the weights are sent in half precision.
    """

    def __init__(
        self,
        model: ImageModel,
        image: Callable[[], Tensor],
        edits: Sequence[tuple[BrushView, ScoresView]],
        picker: ClassPicker,
        pair: CheckView,
        *,
        half: bool,
    ) -> None:
        self._model, self._image, self._edits = model, image, edits
        self._picker, self._pair, self._half = picker, pair, half
        self._file = self._export()
        self.view = NetworkView(self._sent, self.stop)

    def renew(self) -> None:
        """Export the network again, because its weights have changed."""
        self.stop()
        self._file = self._export()
        self.view.renew()

    def stop(self) -> None:
        """Have the kernel answer, until the browser runs the network again."""
        for view, _ in self._edits:
            view._live = False

    def _export(self) -> NetworkFile:
        x, model = self._image(), self._model
        shape = (model.channels, *model.size)
        if x.shape[1:] != shape:
            raise ValueError(
                f"expected an image of the size of the network, {shape}, for a network in the browser, got "
                f"{tuple(x.shape[1:])}"
            )
        return network_file(model, x, half=self._half)

    def _sent(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return what the browser needs to know of the network, and its content and an image to try."""
        file, model, x = self._file, self._model, self._image()
        facts = {
            "name": model.name,
            "size": len(file.data),
            "half": file.half,
            "tolerance": TOLERANCES[file.half],
            "engine": engine_facts(model, file),
            "facts": scores_facts(model),
            "brushes": [{"brush": view.model_id, "scores": scores.model_id} for view, scores in self._edits],
            "picker": self._picker.model_id,
            "pair": self._pair.model_id,
            "expected": exact_scores(model, x)[0].tolist(),
        }
        return facts, [file.data, np.ascontiguousarray(x[0].float().cpu().numpy()).tobytes()]


def precision(network: bool | Literal["half"]) -> bool:
    """Return whether an argument ``network`` asks for half precision; raise for another value."""
    if network not in (False, True):
        choice(network, "network", ("half",))
    return network == "half"
