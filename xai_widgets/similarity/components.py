"""Components of activations by non-negative matrix factorization (Lee and Seung 1999).

Used for overlays by Olah et al. 2018 and Fong et al. 2021. With the vectors at all positions as the rows of X (n, C):

    X ~ W H,   W (n, M) >= 0,   H (M, C) >= 0,   minimizing |X - W H|^2

Each row of H is the direction of a component, scaled to length 1, and each column of W its weights at all positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.optional import optional
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer
from xai_widgets.features import TopActivations
from xai_widgets.features.top_activations import MOST_IMAGES, patch_side
from xai_widgets.similarity.grids import ActivationGrid, group_by_layer

#: Maximum number of components.
MOST_COMPONENTS = 12
#: Iterations per round, which ends with a snapshot, and the maximum number of rounds.
ROUND, ROUNDS = 20, 20
#: The search stops when a round lowers the error by less than this share.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Components(ShortRepr):
    """M components of the activations of a layer on P images.

    Attributes
    ----------
    layer : str
        Name of the layer.
    weights : numpy.ndarray of float32, (P, h, w, M)
        Weight of each component at each position, in units of the activations; ordered by descending sum.
    directions : numpy.ndarray of float32, (M, C)
        Direction of each component, of length 1.
    error : float
        Relative error |X - W H| / |X|; 0 for activations that are all zero.
    images : tuple of int
        Indices of the P images.
    """

    layer: str
    weights: NDArray[np.float32]
    directions: NDArray[np.float32]
    error: float
    images: tuple[int, ...]

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
            Components take the role of channels; ``top.patches(range(M))`` are the patches.
        """
        k = integer(k, "k", low=1, high=MOST_IMAGES)
        source = ImageSource(model, images)
        side = patch_side(model, self.layer, source, side)
        height, columns = self.weights.shape[1:3]
        values, flat = torch.from_numpy(self.weights).flatten(1, 2).max(1)
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
def factorize(grids: Sequence[ActivationGrid], count: int = 4, *, seed: int = 0) -> Run[Components]:
    """Factorize the activations of a layer into non-negative components.

    Parameters
    ----------
    grids : sequence of ActivationGrid
        Activations of one layer of one network, on any number of images.
    count : int, default 4
        Number of components, 1 to 12.
    seed : int, default 0
        Seed of scikit-learn's initialization.

    Returns
    -------
    Run of Components
        One snapshot every 20 iterations, until 20 iterations lower the error by less than 0.1 %.

    Raises
    ------
    ValueError
        For a number of components that is out of range or larger than the number of channels or positions, grids of
        several layers, or negative activations.
    ImportError
        If scikit-learn is missing, with the extra that installs it.
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
    if (low := x.min().item()) < 0:
        raise ValueError(
            f"expected activations of at least 0, such as those behind a ReLU, got {low:.3g} in layer {layer!r} of "
            f"{network}"
        )
    solve = _solver()
    flat = x.reshape(-1, channels).numpy()

    def play() -> Iterator[Components]:
        length = np.linalg.norm(flat)
        weights, directions = np.zeros((len(flat), count)), np.zeros((count, channels))
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
            yield _components(members, weights, directions, error)
            if before - error <= TOLERANCE * before:
                return
            before = error

    return Run(play(), total=ROUNDS, name=f"components of {layer}")


def _components(
    grids: Sequence[ActivationGrid], weights: NDArray[Any], directions: NDArray[Any], error: float
) -> Components:
    """Scale the directions to length 1 and sort the components by descending weight."""
    lengths = np.linalg.norm(directions, axis=1)
    weights = weights * lengths
    directions = directions / np.where(lengths > 0, lengths, 1)[:, None]
    order = np.argsort(-weights.sum(0), kind="stable")
    shape = (len(grids), *grids[0].shape, len(lengths))
    return Components(
        grids[0].layer,
        np.ascontiguousarray(weights[:, order].reshape(shape), np.float32),
        np.ascontiguousarray(directions[order], np.float32),
        error,
        tuple(grid.image for grid in grids),
    )


def _one_layer(grids: Sequence[ActivationGrid]) -> tuple[tuple[str, str], list[ActivationGrid]]:
    by_layer = group_by_layer(grids)
    if len(by_layer) > 1:
        names = ", ".join(" ".join(key) for key in list(by_layer)[:4])
        raise ValueError(f"expected grids of one layer of one network, got {len(by_layer)} layers, {names}")
    return next(iter(by_layer.items()))


def _solver() -> Any:
    return optional("sklearn.decomposition", "components").non_negative_factorization
