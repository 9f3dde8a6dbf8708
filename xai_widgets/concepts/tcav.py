"""Testing with concept activation vectors (Kim et al. 2018): how often a concept raises the score of a class.

With v the vector of a concept in a layer (:mod:`~xai_widgets.concepts.vectors`), a(x) the activation of the layer and
h_k the score of class k as a function of it,

    S_k(x) = grad h_k(a(x)) . v                                    directional derivative, equation 1
    TCAV_k = |{x in X_k : S_k(x) > 0}| / |X_k|                     over the images X_k of the class, equation 2

A vector is learned against each of R random sets of images, so that there are R scores. They are compared with those of
R random concepts, where one random set is the concept and the next one is the set it is learned against, by a two-sided
t-test with unequal variances. Its p-value is multiplied by the number of tests (Bonferroni).

In late layers the gradients of the images of a class are much alike, so that the score of a random concept is close to
0 or to 1, and few random sets find nothing significant. The vectors of a concept share its examples, so that its scores
vary less than those of R draws of examples would; a concept whose classifier is at chance is never significant.

    relative vector     the concept against the images of the other concepts, instead of random ones, section 3.6
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.concepts.examples import (
    LEAST_EXAMPLES,
    ConceptExamples,
    Images,
    Pooling,
    as_concepts,
    as_images,
    check_pooling,
    gradient_vectors,
    layer_vectors,
)
from xai_widgets.concepts.vectors import (
    ConceptVectors,
    MakeClassifier,
    check_pool,
    fit_vector,
    others_of,
    random_sets,
)
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.optional import optional
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import boolean, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods.gradients import layer_gradient

#: Largest size of a random set by default.
LARGEST_SET = 50
#: Largest number of random sets.
MOST_SETS = 1000


@dataclass(frozen=True, repr=False)
class TcavResult(ShortRepr):
    """TCAV scores of concepts for a class, with those of random concepts.

    Attributes
    ----------
    layer : str
        Name of the layer.
    label : str
        Label of the class.
    names : tuple of str
        Names of the C concepts.
    scores : Tensor, (C, R)
        TCAV scores, in [0, 1], one per random set; NaN for concepts that were not trained.
    random_scores : Tensor, (R,)
        TCAV scores of random concepts.
    derivatives : Tensor, (C, R)
        Mean directional derivatives, in units of the score for a step of length 1.
    p_values : Tensor, (C,)
        Two-sided p-values before correction; NaN for fewer than two random sets.
    comparisons : int
        Number of tests that the p-values are corrected for.
    level : float
        Significance level.
    vectors : ConceptVectors
        The vectors with their accuracies.
    """

    layer: str
    label: str
    names: tuple[str, ...]
    scores: Tensor
    random_scores: Tensor
    derivatives: Tensor
    p_values: Tensor
    comparisons: int
    level: float
    vectors: ConceptVectors

    @property
    def means(self) -> Tensor:
        """Mean TCAV score of each concept, (C,)."""
        return self.scores.mean(1)

    @property
    def corrected(self) -> Tensor:
        """p-values times the number of tests, at most 1, (C,)."""
        return (self.p_values * self.comparisons).clamp(max=1)

    @property
    def significant(self) -> Tensor:
        """Whether the scores differ from those of random concepts, and the classifier is above chance, (C,)."""
        return (self.corrected < self.level) & ~self.vectors.at_chance

    @property
    def random_sets(self) -> int:
        """The number R of random sets."""
        return len(self.random_scores)

    def summary(self) -> str:
        """Return a table: score, spread, corrected p-value and accuracy of each concept."""
        accuracy = self.vectors.accuracy.mean(1)
        width = max(map(len, (*self.names, "random")))
        lines = [
            f"{self.label} in {self.layer}: {self.random_sets} random sets, p-values times {self.comparisons}",
            f"{'concept':{width}}  score   std      p  accuracy",
        ]
        for c, name in enumerate(self.names):
            if not self.vectors.trained[c]:
                lines.append(f"{name:{width}}  not trained: {int(self.vectors.counts[c])} examples")
                continue
            end = "*" if self.significant[c] else " at chance" if self.vectors.at_chance[c] else ""
            lines.append(
                f"{name:{width}}  {self.means[c]:5.2f}  {self.scores[c].std():4.2f}  {self.corrected[c]:5.3f}  "
                f"{accuracy[c]:8.0%}{end}"
            )
        lines.append(f"{'random':{width}}  {self.random_scores.mean():5.2f}  {self.random_scores.std():4.2f}")
        return "\n".join(lines)


@without_inference_mode
def tcav(
    model: ImageModel,
    concepts: ConceptExamples,
    random: Images,
    images: Images,
    target: Target,
    *,
    layer: str | None = None,
    relative: bool = False,
    sets: int = 30,
    size: int | None = None,
    pooling: Pooling = "none",
    classifier: MakeClassifier | None = None,
    comparisons: int | None = None,
    level: float = 0.05,
    batch_size: int = 32,
    seed: int = 0,
) -> Run[TcavResult]:
    """Test how often each concept raises the score of a class.

    Parameters
    ----------
    model : ImageModel
        The network.
    concepts : mapping of str to images, or path
        Images of each concept, by name, each a list, a folder or a data set; or a folder that holds one folder of
        images per concept. :func:`concept_images` gives those of a concept data set. A concept with fewer than
        ten images is reported, not trained.
    random : images
        Images without anything in common, from which the random sets are drawn; at least 20.
    images : images
        Images of the class.
    target : int or str or callable
        The class.
    layer : str, optional
        A layer, by its name in ``model.layers()``. Default: the last one before pooling.
    relative : bool, default False
        Whether a concept is learned against the images of the other concepts instead of random images; at least two
        concepts.
    sets : int, default 30
        Number R of random sets, at least 2.
    size : int, optional
        Number of images of a random set. Default: half of the random images, at most 50.
    pooling : {"none", "mean"}, default "none"
        Whether an activation is a vector with all positions, as published, or its mean over the positions, which suits
        concepts that may be anywhere.
    classifier : callable, optional
        Returns a linear classifier of scikit-learn, such as ``lambda: SGDClassifier(alpha=0.01)``. Default: logistic
        regression, see :mod:`xai_widgets.concepts.vectors`.
    comparisons : int, optional
        Number of tests to correct for, if there are others, such as those of other layers and classes. Default: the
        number of concepts.
    level : float, default 0.05
        Significance level.
    batch_size : int, default 32
        Images per pass.
    seed : int, default 0
        Seed of the random sets and of the splits into training and held-out images.

    Returns
    -------
    Run of TcavResult
        One snapshot per random set. The activations of all examples are kept in memory.

    Raises
    ------
    ValueError
        For an unknown class or layer, with the nearest name, too few random images, or no concept with ten examples.
    ImportError
        If scikit-learn is missing, with the extra that installs it.

    Warns
    -----
    ExplanationWarning
        For a concept that was not trained, and for one whose classifier is at chance on held-out images.

    Examples
    --------
    >>> data = xw.data.scene_concepts(500)  # doctest: +SKIP
    >>> stamps = concept_images(data, ["stamp", "dotted"])  # doctest: +SKIP
    >>> tcav(model, stamps, data, toadstools, "ringed toadstool").result().summary()  # doctest: +SKIP
    """
    model, classes = targeted(model, target)
    label = model.labels[model.class_index(classes)]
    name = model.default_layer() if layer is None else model.layer(layer).name
    check_pooling(pooling)
    sets = integer(sets, "sets", low=2, high=MOST_SETS)
    level, seed = number(level, "level", above=0, below=1), check_seed(seed)
    batch_size = check_batch_size(batch_size)
    named, pool, shown = as_concepts(concepts), as_images(random), as_images(images)
    check_pool(pool, 2 * LEAST_EXAMPLES)
    if not len(shown):
        raise ValueError("expected at least one image of the class, got none")
    largest = min(len(pool) // 2, LARGEST_SET) if size is None else len(pool) - 1
    size = largest if size is None else integer(size, "size", low=LEAST_EXAMPLES, high=largest)
    enough = [each for each in named if len(named[each]) >= LEAST_EXAMPLES]
    if not enough:
        raise ValueError(
            f"expected a concept with at least {LEAST_EXAMPLES} examples, got "
            + ", ".join(f"{each!r} with {len(named[each])}" for each in named)
        )
    if boolean(relative, "relative") and len(enough) < 2:
        raise ValueError("expected at least two concepts for relative vectors, got one")
    comparisons = len(enough) if comparisons is None else integer(comparisons, "comparisons", low=1)
    test = _Test(
        drawn=random_sets(len(pool), size, sets, seed), relative=relative, classifier=classifier, seed=seed
    )

    def steps() -> Iterator[TcavResult]:
        def vectors_of(some: Any) -> Tensor:
            return layer_vectors(model, some, name, pooling, batch_size)

        test.features = {each: vectors_of(named[each]) for each in enough}
        used, test.rows = test.drawn.unique(return_inverse=True)
        test.random = vectors_of([pool[index] for index in used.tolist()])
        gradients = []
        index = model.class_index(classes)
        for begin in range(0, len(shown), batch_size):
            x = model.images([shown[i] for i in range(begin, min(begin + batch_size, len(shown)))])
            found = layer_gradient(model, x, torch.full((len(x),), index, device=x.device), name)[1]
            gradients.append(gradient_vectors(model, name, found, pooling).cpu())
        gradient = torch.cat(gradients)
        for _ in range(sets):
            test.add()
            result = _result(
                test, gradient, name, label, {each: len(named[each]) for each in named}, comparisons, level
            )
            if test.done == sets:
                result.vectors.warn()
            yield result

    return Run(steps(), total=sets, name=f"TCAV of {label} in {name}")


class _Test:
    """Vectors of concepts and of random concepts, one more of each per random set."""

    features: dict[str, Tensor]
    random: Tensor
    rows: Tensor

    def __init__(
        self, *, drawn: Tensor, relative: bool, classifier: MakeClassifier | None, seed: int
    ) -> None:
        self.drawn, self.relative, self.classifier, self.seed = drawn, relative, classifier, seed
        self.fits: dict[str, list[tuple[Tensor, float, int]]] = {}
        self.random_vectors: list[Tensor] = []

    @property
    def done(self) -> int:
        """The number of random sets so far."""
        return len(self.random_vectors)

    def add(self) -> None:
        """Learn the vectors against the next random set."""
        number = self.done
        seed = (self.seed + number) % 2**63
        negatives = self._random_set(number)
        for name, rows in self.features.items():
            against = others_of(self.features, name, len(rows), seed) if self.relative else negatives
            fit = fit_vector(rows, against, seed=seed, classifier=self.classifier)
            self.fits.setdefault(name, []).append(fit)
        other = self._random_set((number + 1) % len(self.drawn))
        self.random_vectors.append(fit_vector(negatives, other, seed=seed, classifier=self.classifier)[0])

    def _random_set(self, number: int) -> Tensor:
        return self.random[self.rows[number]]


def _result(
    test: _Test,
    gradient: Tensor,
    layer: str,
    label: str,
    counts: dict[str, int],
    comparisons: int,
    level: float,
) -> TcavResult:
    blank = torch.full((test.done, gradient.shape[1]), torch.nan)
    fits = {name: test.fits.get(name, []) for name in counts}
    vectors = ConceptVectors(
        layer=layer,
        names=tuple(counts),
        vectors=torch.stack([torch.stack([v for v, _, _ in fit]) if fit else blank for fit in fits.values()]),
        accuracy=torch.tensor([[a for _, a, _ in fit] or [torch.nan] * test.done for fit in fits.values()]),
        counts=torch.tensor(list(counts.values())),
        held_out=torch.tensor([fit[0][2] if fit else 0 for fit in fits.values()]),
    )
    derivatives = torch.einsum("nd,crd->crn", gradient, vectors.vectors)
    scores = (derivatives > 0).float().mean(2).where(vectors.trained[:, None], torch.nan)
    random_scores = (gradient @ torch.stack(test.random_vectors).T > 0).float().mean(0)
    return TcavResult(
        layer=layer,
        label=label,
        names=vectors.names,
        scores=scores,
        random_scores=random_scores,
        derivatives=derivatives.mean(2),
        p_values=torch.tensor([two_sided(each, random_scores) for each in scores]),
        comparisons=comparisons,
        level=level,
        vectors=vectors,
    )


def two_sided(scores: Tensor, others: Tensor) -> float:
    """Return the p-value of a two-sided t-test with unequal variances; of scores without any spread, 0 or 1."""
    if len(scores) < 2 or bool(scores.isnan().any()):
        return torch.nan
    first, second = scores.double(), others.double()
    errors = [each.var().item() / len(each) for each in (first, second)]
    difference = (first.mean() - second.mean()).item()
    if sum(errors) == 0:
        return 1.0 if difference == 0 else 0.0
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (len(first) - 1) + errors[1] ** 2 / (len(second) - 1))
    stats = optional("scipy.stats", "tests of TCAV scores")
    return float(2 * stats.t.sf(abs(difference) / sum(errors) ** 0.5, freedom))
