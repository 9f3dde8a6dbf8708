"""Feature patterns of channels as one computation for each channel."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.inverse.patterns import FeaturePatterns, feature_patterns, pattern_units
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.studies.study import Study


class PatternKey(NamedTuple):
    """A channel of a unit."""

    unit: str
    channel: int


class PatternStudy(Study[PatternKey, FeaturePatterns]):
    """The patterns that activate channels most among some images, one computation for each channel.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch.
    k : int, default 9
        Number of images per channel.
    settings, batch_size
        See :func:`~xai_widgets.inverse.patterns.feature_patterns`.

    Attributes
    ----------
    units : list of str
        The units whose channels have patterns.
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(
        self,
        model: ImageModel,
        images: Any,
        *,
        k: int = 9,
        settings: SolverSettings | None = None,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        self.model, self.images, self.k = model, images, k
        self.settings, self.batch_size = settings, batch_size
        self.units = pattern_units(model)

    def run(self, key: PatternKey, start: FeaturePatterns | None = None) -> Run[FeaturePatterns]:
        """Return the search for the patterns of a channel: a snapshot for each batch and unit."""
        return feature_patterns(
            self.model,
            self.images,
            key.unit,
            key.channel,
            k=self.k,
            settings=self.settings,
            batch_size=self.batch_size,
        )

    def title(self, key: PatternKey) -> str:
        """Return the title of a channel."""
        return f"channel {key.channel} of {key.unit}"
