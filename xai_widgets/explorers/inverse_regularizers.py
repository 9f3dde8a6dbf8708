"""The tab of the inverse explorer with the three regularizers at one share of the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, get_args

from xai_widgets.explorers.inverse_tab import InverseTab
from xai_widgets.explorers.layout import stage
from xai_widgets.inverse import LayerWise
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.studies.equal_alpha import AlphaMatch, EqualAlphaKey, EqualAlphaStudy
from xai_widgets.views import HeatmapView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: The shares of the image to choose from, and the first choice.
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
FIRST = 0.3


class RegularizersTab(InverseTab):
    """The inverses with the three regularizers, each at the lambda that leaves one share of the image (figure 5.8).

    Attributes
    ----------
    share : SliderView
        The share of the image, mean(alpha).
    views : dict of str to HeatmapView
        The inverse with each regularizer.
    """

    title = "Regularizers"
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "share")

    study: EqualAlphaStudy

    def _make_views(self) -> None:
        self.share = SliderView(label="Share that is kept", values=SHARES, frame=SHARES.index(FIRST))
        self.views = {
            name: HeatmapView(width=0, controls=False, interpolation="pixelated", title=name)
            for name in get_args(Regularizer)
        }
        for trait in ("position", "viewport", "interpolation"):
            link((self.owner.image_view, trait), *((view, trait) for view in self.views.values()))
        self._compute_on_change((self.share, "frame"))

    def _make_study(self) -> EqualAlphaStudy:
        study = self.owner.study
        return EqualAlphaStudy(
            self.owner.model, self.owner.image, settings=study.settings, batch_size=study.batch_size
        )

    def _stage(self) -> Iterable[Any]:
        set_layout(self.share, margin="0")
        images = stage(*self.views.values(), width=200)
        set_layout(*self.views.values(), max_width="360px")
        return self.share, images

    def _keys(self) -> list[EqualAlphaKey]:
        return [EqualAlphaKey(self.owner.target, SHARES[self.share.frame], self.owner.empty)]

    def compute(self, *, again: bool = False) -> None:
        """Find the lambda of each regularizer; the inverses that the explorer has already are not computed again."""
        self.study.options["known"] = () if again else self._known()
        super().compute(again=again)

    def _known(self) -> list[LayerWise]:
        """Return the complete inverses of the image, class and color."""
        outcomes = [
            outcome.result.layer_wise
            for key, outcome in self.owner.study.store.items()
            if (key.target, key.empty, key.start) == (self.owner.target, self.owner.empty, None)
            and outcome.result is not None
        ]
        return [inverse for inverse in outcomes if inverse is not None and inverse.output is not None]

    def _message(self, key: EqualAlphaKey) -> str:
        result = self.study.result(key)
        found = () if result is None else result.matches
        return f"{found[-1].regularizer if found else get_args(Regularizer)[0]}: the λ that leaves {key.mean_alpha:.2g}"

    def _draw(self, changed: Any = None) -> None:
        (key,) = self._keys()
        result = self.study.result(key)
        matches = {} if result is None else {match.regularizer: match for match in result.matches}
        for name, view in self.views.items():
            match = matches.get(name)
            with view.hold_sync():
                view.image = None if match is None else self.owner.model.to_rgb(match.x)
                view.title = name if match is None else f"{name}: {_numbers(match)}"
                view.notes = [] if match is None else [_note(match, key.mean_alpha)]


def _numbers(match: AlphaMatch) -> str:
    return f"λ = {match.lam:.3g}, α {match.mean_alpha:.2f}, p {match.probability:.2f}"


def _note(match: AlphaMatch, share: float) -> str:
    """Return why an inverse is not comparable, or an empty string."""
    if match.matched:
        return ""
    return f"No λ was found that leaves {share:.2g}; the nearest one leaves {match.mean_alpha:.2g}."
