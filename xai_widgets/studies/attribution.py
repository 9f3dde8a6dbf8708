"""Saliency maps of images by several methods, each for a class and a layer."""

from __future__ import annotations

from collections.abc import Generator, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from torch import Tensor

from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import as_sentence, collect_warnings
from xai_widgets.methods import METHODS, MethodLike, methods_by_name
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

#: Images of a sequence that are kept in memory.
RECENT = 16


class AttributionKey(NamedTuple):
    """The choices that a map depends on.

    Attributes
    ----------
    method : str
        Name of the method.
    image : int
        Index of the image.
    target : int or None
        Class index; None for the predicted class.
    layer : str or None
        Layer of a method that takes one; None for the default of the method.
    """

    method: str
    image: int
    target: int | None = None
    layer: str | None = None


class AttributionStudy(Study[AttributionKey, Tensor]):
    """Saliency maps (h, w) on the CPU, each with the warnings of its method.

    Parameters
    ----------
    model : ImageModel
        The network; it is not changed.
    images
        Images of any kind. Those of a list or a sequence of your own are read one by one, when they are needed.
    methods : sequence, optional
        Names of methods, :class:`~xai_widgets.methods.Method` objects, or whatever
        :func:`~xai_widgets.methods.as_method` takes. Default: every registered method.
    store : mutable mapping, optional
        See :class:`Study`.

    Attributes
    ----------
    methods : dict of str to Method
    """

    shares_passes = True

    def __init__(
        self,
        model: ImageModel,
        images: Any,
        methods: MethodLike | Sequence[MethodLike] | None = None,
        *,
        store: MutableMapping[AttributionKey, Outcome[Tensor]] | None = None,
    ) -> None:
        super().__init__(store)
        check_model(model)
        self.model = model
        self.methods = methods_by_name(METHODS.values() if methods is None else methods)
        by_one = isinstance(images, Sequence) and not isinstance(images, str | bytes)
        self._images: Tensor | Sequence[Any] = images if by_one else model.images(images)
        self._scores: Tensor | None = None
        self._latest = lru_cache(maxsize=RECENT)(self._read)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def keys(self, target: int | None = None, layer: str | None = None) -> list[AttributionKey]:
        """Return the keys of all methods for all images; ``layer`` is for the methods that take one."""
        return [
            AttributionKey(name, image, target, layer if method.takes_layer else None)
            for image in range(len(self))
            for name, method in self.methods.items()
        ]

    @property
    def images(self) -> Tensor:
        """All images, (N, C, H, W) in [0, 1]."""
        return self.model.images(self._images)

    def image(self, index: int) -> Tensor:
        """Return an image (1, C, H, W) with pixels in [0, 1]."""
        if isinstance(self._images, Tensor):
            return self._images[index : index + 1]
        return self._latest(index)[0]

    def scores(self, index: int) -> Tensor:
        """Return the scores (classes,) of an image; ValueError if one is NaN or infinite."""
        in_memory = isinstance(self._images, Tensor)
        scores = self.all_scores()[index] if in_memory else self._latest(index)[1]
        return check_finite(scores, self.model.name)

    def all_scores(self) -> Tensor:
        """Return the scores (N, classes) of all images, even if some are not finite."""
        if self._scores is None:
            self._scores = self.model.scores(self._images)
        return self._scores

    def class_of(self, key: AttributionKey) -> int:
        """Return the class index of a key, for None that of the predicted class."""
        return int(self.scores(key.image).argmax()) if key.target is None else key.target

    def renew_scores(self) -> None:
        """Compute the scores again when they are next needed, because the network may have been trained further."""
        self._scores = None
        self._latest.cache_clear()

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        x = self.model.images(self._images[index])
        return x, self.model.scores(x)[0]

    def run(self, key: AttributionKey, start: Tensor | None = None) -> Run[Tensor]:
        """Return the computation of one map, in a single step."""
        return Run((self._map(key) for _ in range(1)), total=1, name=self.title(key))

    def _map(self, key: AttributionKey) -> Tensor:
        # A network whose scores are NaN fails here, whatever class is explained.
        self.scores(key.image)
        options = {} if key.layer is None else {"layer": key.layer}
        method, x = self.methods[key.method], self.image(key.image)
        saliency = method.saliency(self.model, x, self.class_of(key), **options)
        return saliency[0].detach().float().cpu().contiguous()

    def weight(self, key: AttributionKey, steps: int) -> float:
        """Return the number of passes of the method, a backward pass as two."""
        return self.methods[key.method].work()

    def title(self, key: AttributionKey) -> str:
        """Return the title of the method."""
        return self.methods[key.method].title

    def _compute(
        self, key: AttributionKey, store: MutableMapping[AttributionKey, Outcome[Tensor]], again: bool
    ) -> Generator[AttributionKey, None, None]:
        # Name the map before it is computed, as a method may take minutes.
        yield key
        # In one step: a map that is finished after a cancel is kept.
        store[key] = self._outcome(key)
        yield key

    def explain(self, key: AttributionKey) -> Outcome[Tensor]:
        """Return the outcome of a key, which is computed unless it is known."""
        outcome = self.outcome(key)
        if not outcome.complete:
            outcome = self.store[key] = self._outcome(key)
        return outcome

    def _outcome(self, key: AttributionKey) -> Outcome[Tensor]:
        result, error = None, ""
        with collect_warnings() as warnings:
            try:
                run = self._runs[key] = self.run(key)
                # Its only step: another look at a canceled run would lose the map.
                result = next(iter(run))
            except Exception as failure:  # a failure of one key does not stop the others
                error = as_sentence(failure)
            finally:
                self._runs.pop(key, None)
        return Outcome(result, error, tuple(warnings), complete=True)
