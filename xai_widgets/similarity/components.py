"""Components of activations: directions, and their weights at every position.

With the vectors at all positions as the rows of X (n, C), and m a row that is added to all of them:

    X ~ m + W H,   W (n, M),   H (M, C) with rows of length 1

    NMF       W >= 0, H >= 0, m = 0, minimizing |X - W H|^2                          Lee and Seung 1999
    PCA       m the mean of the rows, H the leading eigenvectors of the covariance   Hotelling 1933
    k-means   m = 0, one component per position: the rows of H are the means of M groups of directions x / |x|, and
              W the products x . h with that of the own group                        Dhillon and Modha 2001

Non-negative factors are used for overlays by Olah et al. 2018 and Fong et al. 2021; they require activations of at
least 0. Tokens of a transformer have negative values, so their components are those of PCA or k-means (Oquab et al.
2024 show the first three of PCA as colors).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.optional import optional
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, integer
from xai_widgets.features import TopActivations
from xai_widgets.features.top_activations import MOST_IMAGES, patch_side
from xai_widgets.ops.normalize import unit_vectors
from xai_widgets.similarity.grids import ActivationGrid, group_by_layer
from xai_widgets.similarity.packing import leading_directions

FactorKind = Literal["nmf", "pca", "kmeans"]
KIND_NAMES: dict[FactorKind, str] = {"nmf": "NMF", "pca": "PCA", "kmeans": "k-means"}

#: Maximum number of components.
MOST_COMPONENTS = 12
#: Iterations per round, which ends with a snapshot, and the maximum number of rounds.
ROUND, ROUNDS = 20, 20
#: The search stops when a round lowers the error by less than this share.
TOLERANCE = 1e-3
#: Starts of k-means, of which the best is taken.
STARTS = 4
#: Maximum number of sweeps of non-negative least squares, and the change that ends them, by the largest weight.
SWEEPS, SETTLED = 5000, 1e-7
#: Percentage of the values of a component, at each end, that have the darkest and the brightest color.
CLIPPED = 1


@dataclass(frozen=True, eq=False, repr=False)
class Components(ShortRepr):
    """M components of the activations of a layer on P images.

    Attributes
    ----------
    layer : str
        Name of the layer.
    weights : numpy.ndarray of float32, (P, h, w, M)
        Weight of each component at each position, in units of the activations; ordered by descending sum, or for PCA
        by descending variance. Those of PCA are signed: the largest magnitude of each component is positive.
    directions : numpy.ndarray of float32, (M, C)
        Direction of each component, of length 1.
    error : float
        Relative error |X - m - W H| / |X - m|; 0 for activations that are all m.
    images : tuple of int
        Indices of the P images.
    kind : {"nmf", "pca", "kmeans"}
        The factorization.
    mean : numpy.ndarray of float32, (C,), or None
        m; None for 0.
    """

    layer: str
    weights: NDArray[np.float32]
    directions: NDArray[np.float32]
    error: float
    images: tuple[int, ...]
    kind: FactorKind = "nmf"
    mean: NDArray[np.float32] | None = None

    @property
    def parts(self) -> NDArray[np.float32]:
        """The weights without signs, (P, h, w, K): for PCA, the positive and the negative part of each component."""
        if self.kind != "pca":
            return self.weights
        both = np.stack([self.weights, -self.weights], axis=-1).clip(min=0)
        return np.ascontiguousarray(both.reshape(*self.weights.shape[:3], -1))

    @property
    def part_names(self) -> list[str]:
        """The names of the K :attr:`parts`: "1", "2", ... or "1+", "1−", ..."""
        signs = ("+", "−") if self.kind == "pca" else ("",)
        return [f"{number + 1}{sign}" for number in range(len(self.directions)) for sign in signs]

    @property
    def shades(self) -> NDArray[np.float32]:
        """The :attr:`parts` as shares of the largest magnitude of their component, in [0, 1]: (P, h, w, K)."""
        peak = np.abs(self.weights).max((0, 1, 2))
        parts = self.parts
        return np.asarray(parts / np.repeat(np.where(peak > 0, peak, 1), parts.shape[-1] // len(peak)))

    @property
    def explained(self) -> NDArray[np.float64]:
        """Share of |X - m|^2 that each component of PCA explains, (M,); 0 for activations that are all m."""
        if self.kind != "pca":
            raise ValueError(f"expected components of PCA, got those of {KIND_NAMES[self.kind]}")
        squares = np.square(self.weights, dtype=np.float64).sum((0, 1, 2))
        total = squares.sum() / (1 - self.error**2) if self.error < 1 else 0.0
        return np.asarray(squares / total if total > 0 else squares)

    @property
    def summary(self) -> str:
        """The factorization and its error, such as "PCA, 42% of the variance: 23%, 12%, 7%"."""
        name = KIND_NAMES[self.kind]
        if self.kind != "pca":
            return f"{name}, error {self.error:.1%}"
        shares = self.explained
        return f"{name}, {shares.sum():.0%} of the variance: {', '.join(f'{share:.0%}' for share in shares)}"

    def colors(self) -> NDArray[np.float32]:
        """Return the first three components of PCA as red, green and blue, (P, h, w, 3) in [0, 1].

        Each component is scaled from its first to its last percentile over all images.
        """
        if self.kind != "pca" or len(self.directions) < 3:
            raise ValueError(
                f"expected three components of PCA, got {len(self.directions)} of {KIND_NAMES[self.kind]}"
            )
        low, high = np.percentile(self.weights[..., :3], [CLIPPED, 100 - CLIPPED], axis=(0, 1, 2))
        scaled = (self.weights[..., :3] - low) / np.where(high > low, high - low, 1)
        return np.asarray(scaled.clip(0, 1), np.float32)

    def reordered(self, order: NDArray[np.integer[Any]]) -> Components:
        """Return the components of these numbers, in this order."""
        return replace(
            self,
            weights=np.ascontiguousarray(self.weights[..., order]),
            directions=self.directions[order],
        )

    def coefficients(self, activation: Tensor) -> Tensor:
        """Return the weights of the components for other activations of the layer, with the directions fixed.

        For NMF they are the non-negative least squares solution at each position; for k-means the product with the
        direction of the smallest angle, and 0 for the others; for PCA the products with all directions.

        Parameters
        ----------
        activation : Tensor, (N, C, h, w)
            Activations of the layer.

        Returns
        -------
        Tensor, (N, M, h, w)
            On the CPU, float32.
        """
        x = activation.movedim(1, -1).flatten(0, -2).cpu().double()
        directions = torch.from_numpy(self.directions).double()
        if self.kind == "nmf":
            found = non_negative_weights(x, directions)
        elif self.kind == "pca":
            found = (x - torch.from_numpy(self.mean).double()) @ directions.T
        else:
            found = _of_nearest(x, directions, (x @ directions.T).argmax(1))
        count, _, height, width = activation.shape
        return found.float().view(count, height, width, -1).movedim(-1, 1).contiguous()

    def on(self, grids: Sequence[ActivationGrid]) -> Components:
        """Return the same directions with their weights on other images, and the error there.

        Parameters
        ----------
        grids : sequence of ActivationGrid
            Activations of the layer on any number of images.

        Returns
        -------
        Components
            In the same order, which is not that of the sums of the new weights.

        Raises
        ------
        ValueError
            For activations of another layer or width.
        """
        (_, layer), members = _one_layer(grids)
        x = torch.stack([grid.raw for grid in members]).movedim(-1, 1)
        channels = self.directions.shape[1]
        if layer != self.layer or x.shape[1] != channels:
            raise ValueError(
                f"expected activations of {self.layer!r} with {channels} channels, got those of {layer!r} with "
                f"{x.shape[1]}"
            )
        weights = self.coefficients(x)
        whole = x.cpu().double()
        if self.mean is not None:
            whole = whole - torch.from_numpy(self.mean)[:, None, None]
        error, size = self.residual(x, weights).double().norm().item(), whole.norm().item()
        return replace(
            self,
            weights=weights.movedim(1, -1).contiguous().numpy(),
            error=error / size if size > 0 else 0.0,
            images=tuple(grid.image for grid in members),
        )

    def residual(self, activation: Tensor, coefficients: Tensor) -> Tensor:
        """Return the part of activations (N, C, h, w) that the components with these coefficients do not hold."""
        rebuilt = torch.einsum("nmhw,mc->nchw", coefficients, torch.from_numpy(self.directions))
        if self.mean is not None:
            rebuilt = rebuilt + torch.from_numpy(self.mean)[:, None, None]
        return activation.cpu() - rebuilt

    def top(self, model: ImageModel, images: Any, *, k: int = 9, side: int | None = None) -> TopActivations:
        """Return the k images in which each component is strongest, with one position each.

        Parameters
        ----------
        model : ImageModel
            The network.
        images
            The images whose activations were factorized.
        k : int, default 9
            Number of images per component.
        side : int, optional
            Side of a patch, in pixels. Default: the effective receptive field, measured on the first four images.

        Returns
        -------
        TopActivations
            The K :attr:`parts` take the role of channels; ``top.patches(range(K))`` are the patches.
        """
        k = integer(k, "k", low=1, high=MOST_IMAGES)
        source = ImageSource(model, images)
        side = patch_side(model, self.layer, source, side)
        height, columns = self.weights.shape[1:3]
        values, flat = torch.from_numpy(self.parts).flatten(1, 2).max(1)
        best = values.T.argsort(dim=1, descending=True, stable=True)[:, :k]
        kept, at = values.T.gather(1, best), flat.T.gather(1, best)
        which = torch.tensor(self.images)[best]
        if (missing := k - best.shape[1]) > 0:
            kept = torch.nn.functional.pad(kept, (0, missing), value=torch.nan)
            which = torch.nn.functional.pad(which, (0, missing), value=-1)
            at = torch.nn.functional.pad(at, (0, missing))
        positions = torch.stack([at // columns, at % columns], 2)
        return TopActivations(kept, which, positions, (height, columns), side, source)


@without_inference_mode
def factorize(
    grids: Sequence[ActivationGrid],
    count: int = 4,
    *,
    kind: FactorKind | Literal["auto"] = "auto",
    seed: int = 0,
) -> Run[Components]:
    """Factorize the activations of a layer into components.

    Parameters
    ----------
    grids : sequence of ActivationGrid
        Activations of one layer of one network, on any number of images.
    count : int, default 4
        Number of components, 1 to 12.
    kind : {"auto", "nmf", "pca", "kmeans"}, default "auto"
        The factorization; "auto" is NMF for activations of at least 0, and PCA otherwise.
    seed : int, default 0
        Seed of scikit-learn's initialization of NMF and k-means.

    Returns
    -------
    Run of Components
        For NMF one snapshot every 20 iterations, until 20 iterations lower the error by less than 0.1 %; for the others
        one snapshot.

    Raises
    ------
    ValueError
        For a number of components that is out of range or larger than the number of channels or positions, grids of
        several layers, an unknown kind, with the nearest one, or negative activations for NMF.
    ImportError
        If scikit-learn is missing for NMF or k-means, with the extra that installs it.
    """
    (network, layer), members = _one_layer(grids)
    x = torch.stack([grid.raw.cpu() for grid in members]).double()
    positions, channels = x[..., 0].numel(), x.shape[-1]
    most = min(MOST_COMPONENTS, channels, positions)
    has = f"{layer!r} has {channels} channels at {positions} positions"
    count, seed = (
        integer(count, "count", low=1, high=most, hint=has),
        integer(seed, "seed", low=0, high=2**32 - 1),
    )
    choice(kind, "kind", ("auto", *get_args(FactorKind)))
    low = x.min().item()
    if kind == "nmf" and low < 0:
        raise ValueError(
            f"expected activations of at least 0, such as those behind a ReLU, got {low:.3g} in layer {layer!r} of "
            f"{network}; try kind='pca'"
        )
    flat = x.reshape(-1, channels)
    name = f"components of {layer}"
    if kind == "pca" or (kind == "auto" and low < 0):
        return Run(_pca(members, flat, count), total=1, name=name)
    if kind == "kmeans":
        return Run(_kmeans(members, flat, _scikit_learn("cluster").KMeans, count, seed), total=1, name=name)
    solve = _scikit_learn("decomposition").non_negative_factorization
    return Run(_nmf(members, flat.numpy(), solve, count, seed), total=ROUNDS, name=name)


def _nmf(
    members: Sequence[ActivationGrid], flat: NDArray[Any], solve: Any, count: int, seed: int
) -> Iterator[Components]:
    length = np.linalg.norm(flat)
    weights, directions = np.zeros((len(flat), count)), np.zeros((count, flat.shape[1]))
    before = np.inf
    for number in range(ROUNDS if length > 0 else 1):
        if length > 0:
            # Convergence is checked per round; with tol=0 scikit-learn does not warn that it has not converged.
            start = (
                {"init": "nndsvda", "random_state": seed}
                if number == 0
                else {"init": "custom", "W": weights, "H": directions}
            )
            weights, directions, _ = solve(flat, n_components=count, max_iter=ROUND, tol=0, **start)
        error = float(np.linalg.norm(flat - weights @ directions) / length) if length > 0 else 0.0
        yield _by_weight(members, weights, directions, error, "nmf")
        if before - error <= TOLERANCE * before:
            return
        before = error


def _pca(members: Sequence[ActivationGrid], flat: Tensor, count: int) -> Iterator[Components]:
    mean = flat.mean(0)
    centered = flat - mean
    directions = leading_directions(centered, count).T
    weights = centered @ directions.T
    # The sign of an eigenvector is arbitrary.
    peaks = weights.gather(0, weights.abs().argmax(0, keepdim=True))
    signs = torch.where(peaks < 0, -1.0, 1.0)
    weights, directions = weights * signs, directions * signs.T
    error = _relative_error(centered, weights, directions)
    made = _components(members, weights.numpy(), directions.numpy(), error, "pca")
    yield replace(made, mean=mean.float().numpy())


def _kmeans(
    members: Sequence[ActivationGrid], flat: Tensor, cluster: Any, count: int, seed: int
) -> Iterator[Components]:
    unit = unit_vectors(flat)
    distinct = len(torch.unique(unit, dim=0))
    found = cluster(min(count, distinct), n_init=STARTS, random_state=seed).fit(unit.numpy())
    centers = torch.zeros(count, flat.shape[1], dtype=flat.dtype)
    centers[: len(found.cluster_centers_)] = torch.from_numpy(found.cluster_centers_)
    directions = unit_vectors(centers)
    groups = torch.from_numpy(found.labels_).long()
    weights = _of_nearest(flat, directions, groups)
    error = _relative_error(flat, weights, directions)
    yield _by_weight(members, weights.numpy(), directions.numpy(), error, "kmeans")


def non_negative_weights(x: Tensor, directions: Tensor) -> Tensor:
    """Return the weights W >= 0, (n, M), that minimize |X - W H| for rows X (n, C) and directions H (M, C).

    Coordinate descent: the problem is convex, so the weights that no single coordinate improves are the solution.
    """
    gram, products = directions @ directions.T, x @ directions.T
    scale = gram.diagonal()
    weights = torch.zeros_like(products)
    for _ in range(SWEEPS):
        largest = 0.0
        for k in torch.nonzero(scale > 0).flatten().tolist():
            better = (weights[:, k] + (products[:, k] - weights @ gram[k]) / scale[k]).clamp(min=0)
            largest = max(largest, (better - weights[:, k]).abs().max().item())
            weights[:, k] = better
        if largest <= SETTLED * weights.max().item():
            break
    return weights


def _of_nearest(x: Tensor, directions: Tensor, groups: Tensor) -> Tensor:
    """Return the weights of k-means, (n, M): of each row that of its own group only."""
    weights = torch.zeros(len(x), len(directions), dtype=x.dtype)
    return weights.scatter_(1, groups[:, None], (x * directions[groups]).sum(1, keepdim=True).clamp(min=0))


def _relative_error(x: Tensor, weights: Tensor, directions: Tensor) -> float:
    length = x.norm()
    return ((x - weights @ directions).norm() / length).item() if length > 0 else 0.0


def _by_weight(
    grids: Sequence[ActivationGrid],
    weights: NDArray[Any],
    directions: NDArray[Any],
    error: float,
    kind: FactorKind,
) -> Components:
    """Scale the directions to length 1 and sort the components by descending weight."""
    lengths = np.linalg.norm(directions, axis=1)
    weights = weights * lengths
    directions = directions / np.where(lengths > 0, lengths, 1)[:, None]
    order = np.argsort(-weights.sum(0), kind="stable")
    return _components(grids, weights[:, order], directions[order], error, kind)


def _components(
    grids: Sequence[ActivationGrid],
    weights: NDArray[Any],
    directions: NDArray[Any],
    error: float,
    kind: FactorKind,
) -> Components:
    shape = (len(grids), *grids[0].shape, len(directions))
    return Components(
        grids[0].layer,
        np.ascontiguousarray(weights.reshape(shape), np.float32),
        np.ascontiguousarray(directions, np.float32),
        error,
        tuple(grid.image for grid in grids),
        kind,
    )


def _one_layer(grids: Sequence[ActivationGrid]) -> tuple[tuple[str, str], list[ActivationGrid]]:
    by_layer = group_by_layer(grids)
    if len(by_layer) > 1:
        names = ", ".join(" ".join(key) for key in list(by_layer)[:4])
        raise ValueError(f"expected grids of one layer of one network, got {len(by_layer)} layers, {names}")
    return next(iter(by_layer.items()))


def _scikit_learn(part: str) -> Any:
    return optional(f"sklearn.{part}", "components")
