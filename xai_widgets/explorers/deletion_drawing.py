"""How the deletion explorer draws results: curves of the image and their means, best classes, maps and orders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.explorers.deletion_arrays import (
    LOW_IS_GOOD,
    BestClasses,
    CurveRows,
    area_between,
    chance,
    curve_facts,
    flip_facts,
    mean_row,
    value_limits,
)
from xai_widgets.explorers.deletion_views import DeletionViews
from xai_widgets.explorers.parts import (
    TOP,
)
from xai_widgets.metrics import Curve
from xai_widgets.studies.deletion import (
    KINDS,
    RANDOM,
    RANDOM_TITLE,
    DeletionKey,
    DeletionResult,
    MeanKey,
)
from xai_widgets.studies.mean_curves import MeanCurves
from xai_widgets.studies.store import Outcome

#: Color of the curves of a random order, which has 3:1 against both themes.
RANDOM_COLOR = "#808080"

#: Scopes of the curves.
IMAGE, MEAN = "image", "mean"


class DeletionDrawing(DeletionViews):
    """The drawing of results in the views of :class:`~xai_widgets.explorers.DeletionExplorer`."""

    @abstractmethod
    def _key(self, name: str) -> DeletionKey:
        """Return the key of a method for the shown image."""

    @abstractmethod
    def _shown_keys(self) -> list[DeletionKey]:
        """Return the keys of the chosen methods for the shown image, followed by the random order."""

    @abstractmethod
    def _mean_keys(self) -> list[MeanKey]:
        """Return the keys of the means over the data set."""

    def _draw(self, changed: DeletionKey | MeanKey | None = None) -> None:
        """Draw all arrays anew; a value that is not known is NaN."""
        outcomes = {key.method: self.study.outcome(key) for key in self._shown_keys()}
        failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
        # The maps are large: they are sent when one of them is new.
        known = (
            outcomes[changed.method].result if changed is not None and changed.method in outcomes else None
        )
        if not isinstance(changed, MeanKey) and (known is None or not known.curves):
            self._draw_maps(failed)
        self.method_picker.notes = {
            name: outcome.error
            for name in self._methods
            if (outcome := self.study.outcome(self._key(name))).error
        }
        self.method_picker.looks = self._looks.take(name for name in outcomes if name != RANDOM)
        self._draw_curves(outcomes, failed)

    def _draw_curves(
        self, outcomes: Mapping[str, Outcome[DeletionResult]], failed: Mapping[str, str]
    ) -> None:
        kind, rows = self._kind, [*self._methods, RANDOM]
        fractions = self._fractions(outcomes)
        best = BestClasses.empty((len(rows), 2, len(fractions)), min(TOP, len(self.model.labels)))
        drawn, means = CurveRows(fractions), self._mean_keys()
        scope = IMAGE if means else ""
        random = outcomes[RANDOM].result if RANDOM in outcomes else None
        for name, outcome in outcomes.items():
            curves = outcome.result.curves if outcome.result is not None else {}
            for at, metric in enumerate(KINDS[kind] if name not in failed else ()):
                entry, band = self._series(name, metric, scope), None
                if curve := curves.get(metric):
                    best.take(rows.index(name), at, curve)
                    entry |= self._facts(name, metric, curve, outcome, random)
                    band = None if curve.band is None else curve.band[:, 0].numpy()
                drawn.add(entry, best.target_values[rows.index(name), at].copy(), band)
        self._add_failed(drawn, failed, scope)
        self._add_means(drawn, means)
        drawn.show(self.curves)
        probabilities = kind == "deletion"
        values = self._probabilities() if probabilities else self._scores[0].float().cpu().numpy()
        best.take_image(kind, values, self.target)
        with self.scores.hold_sync():
            arrays = (best.values, best.target_values)
            self.scores.value_limits = (
                self._limits(*arrays) if probabilities else value_limits(values, *arrays)
            )
            self.scores.target, self.scores.x = self.target, fractions
            self.scores.indices = best.indices.reshape(-1, *best.indices.shape[2:])
            self.scores.values = best.values.reshape(-1, *best.values.shape[2:])
            self.scores.target_values = best.target_values.reshape(-1, len(fractions))

    def _fractions(self, outcomes: Mapping[str, Outcome[DeletionResult]]) -> NDArray[np.float32]:
        """Return the shares of the pixels at the steps; those of the random order differ by less than a pixel."""
        for name, outcome in outcomes.items():
            if name != RANDOM and outcome.result is not None:
                for curve in outcome.result.curves.values():
                    return curve.fractions.numpy()
        return np.linspace(0, self.masked.span, self.study.curve_steps + 1, dtype=np.float32)

    def _add_failed(self, drawn: CurveRows, failed: Mapping[str, str], scope: str) -> None:
        """Add a row of the legend, without a curve, for each method that failed."""
        rows = [*self._methods, RANDOM]
        for name, error in failed.items():
            title = self._title(name)
            entry = {"label": f"{title}: {error}", "name": title, "warning": error, "frame": rows.index(name)}
            drawn.add(entry | ({"scope": scope} if scope else {}))

    def _add_means(self, drawn: CurveRows, keys: Sequence[MeanKey]) -> None:
        """Add the mean curves over the data set, and state of how many images."""
        outcomes = {key.method: self.study.outcome(key) for key in keys}
        failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
        for name, outcome in outcomes.items():
            result: MeanCurves | None = outcome.result
            for metric in KINDS[self._kind] if name not in failed else ():
                entry, mean, band = self._series(name, metric, MEAN), None, None
                if result is not None and result.count:
                    facts, mean, band = mean_row(self._kind, metric, result)
                    entry |= facts
                if outcome.warnings:
                    entry["warning"] = "; ".join(outcome.warnings)
                drawn.add(entry, mean, band)
        self._add_failed(drawn, failed, MEAN)
        counts = {
            0 if outcome.result is None else outcome.result.count
            for name, outcome in outcomes.items()
            if name not in failed
        } or {0}
        images = " to ".join(map(str, sorted({min(counts), max(counts)})))
        words = f"Mean of {images} of {self.study.count} images, predicted classes; 95 % intervals"
        self.curves.scope_notes = {MEAN: words} if keys else {}

    def _title(self, name: str) -> str:
        return RANDOM_TITLE if name == RANDOM else self._methods[name].title

    def _series(self, name: str, metric: str, scope: str) -> dict[str, Any]:
        """Return the entry of a curve in the legend."""
        title = self._title(name)
        row = len(self._methods) if name == RANDOM else list(self._methods).index(name)
        style = "dashed" if metric in LOW_IS_GOOD else "solid"
        look = {"color": RANDOM_COLOR} if name == RANDOM else {"look": self.method_picker.looks[name]}
        # With a label from the start, the line below the table does not appear later.
        flips = len(self.model.labels) > 1 and scope != MEAN
        more = {**({"flip_label": ""} if flips else {}), **({"scope": scope} if scope else {})}
        label = f"{title}, {metric}"
        return {"label": label, "name": title, "frame": row, "mode": metric, "style": style, **look, **more}

    def _facts(
        self,
        name: str,
        metric: str,
        curve: Curve,
        outcome: Outcome[DeletionResult],
        random: DeletionResult | None,
    ) -> dict[str, Any]:
        """Return the parts of the entry of a curve that are known from its values."""
        kind = self._kind
        facts = curve_facts(kind, curve) | area_between(kind, outcome.result)
        if name == RANDOM:
            # The mean of random orders has no predicted class.
            return facts
        whole = random.curves.get(metric) if random is not None and "auc" in facts else None
        warnings = outcome.warnings if "auc" in facts else ()
        if words := "; ".join(filter(None, [*warnings, chance(kind, metric, curve, whole)])):
            facts["warning"] = words
        return facts | flip_facts(curve, self._predicted(), self.model)

    def _draw_maps(self, failed: Iterable[str]) -> None:
        methods = list(self._methods)
        results = {key.method: self.study.result(key) for key in self._shown_keys()}
        # Maps after the last chosen one are not sent, and the last row is the random order: a view shows its last row
        # for any later frame.
        chosen = [methods.index(name) for name in results if name != RANDOM]
        rows = [*methods[: max(chosen, default=-1) + 1], RANDOM]
        height, width = self._x.shape[2:]
        # In one array, each in the corner: a coarse map is enlarged where it is drawn.
        sizes = {name: result.saliency.shape for name, result in results.items() if result is not None}
        maps = np.full((len(rows), *np.max([(1, 1), *sizes.values()], axis=0)), np.nan, dtype=np.float32)
        # A rank that no fraction reaches: a method without a map deletes nothing.
        ranks, least = (np.full((len(rows), height, width), height * width, dtype=np.int32) for _ in range(2))
        for name, result in results.items():
            if result is not None:
                own_height, own_width = result.saliency.shape
                maps[rows.index(name), :own_height, :own_width] = result.saliency
                ranks[rows.index(name)], least[rows.index(name)] = result.ranks, result.least
        warned = {key.method: " ".join(self.study.outcome(key).warnings) for key in self._shown_keys()}
        with self.heatmap.hold_sync():
            self.heatmap.labels = [self._title(name) for name in rows]
            self.heatmap.notes = [warned.get(name, "") for name in rows]
            self.heatmap.signs = ["auto" if name == RANDOM else self._methods[name].sign for name in rows]
            self.heatmap.sizes = [list(sizes.get(name, maps.shape[1:])) for name in rows]
            self.heatmap.maps = maps
        with self.masked.hold_sync():
            self.masked.ranks = ranks
            self.masked.least = least if self._kind == "flipping" else None
        active = [methods.index(name) for name in results if name not in failed and name != RANDOM]
        if active and self.curves.frame not in [*active, len(methods)]:
            for part in (self.curves, self.heatmap, self.masked, self.scores):
                part.frame = active[0]
