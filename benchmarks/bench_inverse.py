"""The solver of the inverses against the published algorithm, on the same problems from the same starts.

    OMP_NUM_THREADS=1 python benchmarks/bench_inverse.py [--scenes 8] [--constant-scenes 2] [--limit 200]

The problems are all units that are solved in the layer-wise inverse of held-out scenes, for four lambda and both
bundled networks; the target of each is what our inverse found for the unit above. The reference is algorithm 2 of the
dissertation (section 5.2.4), with its misprints put right:

    t_n = x_n + b (x_n - x_(n-1)),  b = (n-1)/(n+2),   x_(n+1) = clip(t_n - r_n grad J(t_n), 0, x_bar)
    r_n = min(r_(n-1), 0.5 / h),  r_0 = 1,  h the largest element of the diagonal of the Hessian of J near x_n

until the deviation of the last costs is below tau. tau and how many costs are not published; here it is a share of
their mean, over as many costs as our solver looks at. The Hessian is that of the cost as it is, with plain norms:

    diag = (d - g^2) / |A x - y| + lambda (w^2 - w^4 x^2 / |w x|^2) / |w x|
    d = diag A^T A,   g = A^T (A x - y) / |A x - y|

of a convolution exactly (its squared weights over the outputs that are on), of scores exactly, of a block by
Hutchinson's estimate. d is made anew at the iterations 1, 2, 4, 8 ..., the rest at each one; none of that is in the
times.

"Fewest" is a bound for the unit that sees the image: with the quadratic model of J at its minimum x*, and the variables
that x* holds at a bound put there for free, the least k for which

    min Q(y) over y in x_0 + span(g, H g, ..., H^(k-1) g) <= the cost that algorithm 2 ends at
    Q(y) = J(x*) + (y - x*)^T H (y - x*) / 2

Every method whose steps are sums of gradients, momentum and quasi-Newton methods among them, stays in these spaces on a
quadratic cost, and the conjugate gradients find the minimum in each of them.

"Constant" is a variant that is kinder to it: of five constant steps, from a sixteenth to sixteen times the first
one, the one that ends first among those that come within a thousandth of the lowest cost.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.inverse import SolverSettings, layer_wise, solver
from xai_widgets.inverse.chain import EXACT, Chain, norms, starting_point
from xai_widgets.inverse.descent import Descent
from xai_widgets.inverse.descent import Problem as UnitProblem
from xai_widgets.inverse.layer_wise import LAMBDAS, LayerWise, _UnitStep
from xai_widgets.inverse.solver import Cost, minimize
from xai_widgets.inverse.start import Goal
from xai_widgets.inverse.units import Unit

NETWORKS = ("scenes_vgg", "scenes_resnet")
#: Probes of Hutchinson's estimate.
PROBES = 16
#: Constant steps, times the first step of algorithm 2.
FACTORS = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)
#: A cost is no higher than another up to this share of the cost at the start: the rounding of single precision.
ROUNDING = 1e-6


class Endless(SolverSettings):
    """Settings that let no element end before the last step."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class Problem:
    """What both solve for one unit: B elements, an image and a lambda each."""

    name: str
    cost: Cost
    start: Tensor
    upper: Tensor
    diagonal: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class Trace:
    """How one of them fared, an entry per element."""

    cost: Tensor
    iterations: Tensor
    rises: Tensor
    ended: Tensor
    seconds: float


def problem(model: xw.ImageModel, step: _UnitStep) -> Problem:
    """The cost of a unit, and what is needed of its Hessian."""
    unit, image = step.unit, step.image
    start, upper = step.interval.z(starting_point(step.unit, step.x_bar)), step.interval.upper
    everything = torch.arange(len(image))

    def run(z: Tensor) -> Tensor:
        return step._run(z, everything)

    cost = step._cost() if step.target is None else step._scores_cost(step.target)
    if step.target is not None:
        return Problem(
            unit.name, cost, start[image], upper[image],
            lambda x: scores_diagonal(run, last_linear(model), step.target[image], x), lambda _x, d, _g: d,
        )  # fmt: skip
    y = step.y * (step.y_bar[image].flatten(1).norm(dim=1) / norms(step.y)).view(-1, *[1] * (step.y.ndim - 1))
    weight = step._outside(y)

    def diagonal(x: Tensor) -> Tensor:
        return exact_diagonal(model, unit, run, x) if unit.affine else hutchinson(run, x)

    def curvature(x: Tensor, d: Tensor, gradient: Tensor) -> Tensor:
        wide = [-1, *[1] * (x.ndim - 1)]
        lam, w = step.lam.view(wide), torch.ones_like(x) if weight is None else weight.expand_as(x)
        size = norms(w * x).clamp(min=1e-12).view(wide)
        off = norms(run(x) - y).clamp(min=1e-12).view(wide)
        # The gradient of J, less that of R, is g.
        g = gradient - lam * w**2 * x / size
        return (d - g**2) / off + lam * (w**2 - w**4 * x**2 / size**2) / size

    return Problem(unit.name, cost, start[image], upper[image], diagonal, curvature)


def last_linear(model: xw.ImageModel) -> nn.Linear:
    return [module for module in model.module.modules() if isinstance(module, nn.Linear)][-1]


def scores_diagonal(run: Callable[[Tensor], Tensor], linear: nn.Linear, target: Tensor, x: Tensor) -> Tensor:
    """The diagonal of the Hessian of log sum exp over the other scores."""
    p = run(x).scatter(1, target[:, None], -torch.inf).softmax(1)
    return p @ linear.weight**2 - (p @ linear.weight) ** 2


def exact_diagonal(model: xw.ImageModel, unit: Unit, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Of each input the sum of its squared weights to the outputs that are on."""
    # The layers that a unit of the bundled networks ends with bear its number.
    scope, _, last = unit.name.rpartition(".")
    scope, number = (scope, last.removeprefix("relu")) if scope else (unit.name, "")
    parts = dict(model.module.get_submodule(scope).named_children())
    on = (run(x) > 0).float()
    if unit.kind == "linear":
        return on @ parts["hidden"].weight ** 2
    convolution, norm = parts[f"conv{number}"], parts.get(f"norm{number}")
    weight = convolution.weight
    if norm is not None:
        weight = weight * (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1, 1)
    made = torch.nn.grad.conv2d_input(
        x.shape, weight**2, on, convolution.stride, convolution.padding, convolution.dilation
    )
    return made / model.std**2 if weight.shape[1] == 3 else made


def hutchinson(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean of (A^T s)^2 over signs s drawn at random: diag A^T A on average."""
    generator = torch.Generator().manual_seed(0)
    made = torch.zeros_like(x)
    with torch.enable_grad():
        at = x.clone().requires_grad_()
        out = run(at)
        for _ in range(PROBES):
            signs = torch.randint(0, 2, out.shape, generator=generator).float() * 2 - 1
            made += torch.autograd.grad(out, at, signs, retain_graph=True)[0] ** 2 / PROBES
    return made


def algorithm_2(given: Problem, limit: int, tau: float, window: int, constant: Tensor | None = None) -> Trace:
    """The published algorithm; with ``constant`` (B,) its step is that and never changes."""
    count, wide = len(given.start), [-1, *[1] * (given.start.ndim - 1)]
    before = torch.minimum(given.start.clamp(min=0), given.upper)
    x, rate = before.clone(), torch.ones(count)
    everything = torch.arange(count)
    costs: list[Tensor] = []
    left = torch.ones(count, dtype=torch.bool)
    iterations, rises, final = torch.zeros(count), torch.zeros(count), torch.full((count,), torch.inf)
    seconds, d = 0.0, given.diagonal(x)
    for n in range(1, limit + 1):
        if n & (n - 1) == 0:
            d = given.diagonal(x)
        if constant is None:
            # As near to x_n as need be: where the momentum leads, h needs no pass of its own.
            with torch.enable_grad():
                at = x.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(given.cost(at, everything).sum(), at)
            highest = given.curvature(x, d, gradient).flatten(1).amax(1).clamp(min=1e-12)
            rate = torch.minimum(rate, 0.5 / highest)
        else:
            rate = constant
        begin = time.perf_counter()
        momentum = max(0.0, (n - 2) / (n + 1))
        t = x + momentum * (x - before)
        with torch.enable_grad():
            at = t.clone().requires_grad_()
            cost = given.cost(at, everything)
            (gradient,) = torch.autograd.grad(cost.sum(), at)
        z = torch.minimum((t - rate.view(wide) * gradient).clamp(min=0), given.upper)
        seconds += time.perf_counter() - begin
        before, x = torch.where(left.view(wide), x, before), torch.where(left.view(wide), z, x)
        costs.append(cost.detach())
        iterations[left] = n
        if n > 1:
            rises += left & (costs[-1] > costs[-2] * (1 + 1e-6))
        if n >= window:
            last = torch.stack(costs[-window:])
            left &= ~(last.std(0, correction=0) < tau * last.mean(0).abs())
        if not left.any():
            break
    final = given.cost(x, everything)
    return Trace(final.detach(), iterations, rises, ~left, seconds / len(costs))


def ours(given: Problem, goal: Tensor, limit: int) -> tuple[Tensor, Tensor, float]:
    """Iterations until a cost is no higher than goal (inf: not within the limit), our costs there, seconds of one."""
    settings = Endless(steps=limit, tolerance=-1, window=1)
    reached = torch.full_like(goal, torch.inf)
    begin, n = time.perf_counter(), 0
    for n, shot in enumerate(minimize(given.cost, given.start, given.upper, settings), 1):
        there = (shot.cost <= goal) & reached.isinf()
        reached[there] = n
        latest = shot.cost
        if bool(reached.isfinite().all()):
            break
    return reached, latest, (time.perf_counter() - begin) / n


def fewest(given: Problem, goal: Tensor, limit: int = 60) -> Tensor:
    """The bound of the iterations to a cost, (B,); inf beyond the limit."""
    everything = torch.arange(len(goal))
    begin = torch.minimum(given.start.clamp(min=0), given.upper)
    *_, best = minimize(given.cost, begin, given.upper, Endless(steps=300, tolerance=-1, window=300))
    costs = torch.stack([given.cost(factor * begin, everything) for factor in solver.FACTORS])
    wide = [-1, *[1] * (begin.ndim - 1)]
    begin = torch.tensor(solver.FACTORS)[costs.argmin(0)].view(wide) * begin
    with torch.enable_grad():
        at = best.x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(given.cost(at, everything).sum(), at, create_graph=True)
    edge, g = 1e-6 * given.upper, gradient.detach()
    free = ~((best.x <= edge) & (g > 0) | (best.x >= given.upper - edge) & (g < 0))

    def hessian(v: Tensor) -> Tensor:
        return torch.autograd.grad(gradient, at, v * free, retain_graph=True)[0] * free

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1)

    # The conjugate gradients for H v = 0, with the residual r = -H v, so that Q = -<v, r> / 2.
    v = (begin - best.x) * free
    r = -hessian(v)
    d, squared, needed = r, product(r, r), torch.full_like(goal, torch.inf)
    for k in range(limit + 1):
        reached = (-product(v, r) / 2 <= goal - best.cost) & needed.isinf()
        needed[reached] = k
        along = hessian(d)
        step = (squared / product(d, along).clamp(min=1e-30)).view(wide)
        v, r = v + step * d, r - step * along
        before, squared = squared, product(r, r)
        d = r + (squared / before.clamp(min=1e-30)).view(wide) * d
    return needed


COLUMNS = (
    "unit", "problems", "algorithm 2", "not ended", "ours to its cost", "ratio", "90 %", "fewest", "at most 1/3",
    "not reached", "our own stop", "our cost there", "highest", "it rises", "ends above its start", "time",
)  # fmt: skip
HEAD = f"\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def line(name: str, rows: dict[str, Tensor]) -> str:
    """One row of the table: medians and shares over elements."""
    ratio = rows["ours"] / rows["theirs"]
    made = [
        name,
        len(ratio),
        f"{middle(rows['theirs']):.0f}",
        f"{(1 - rows['ended']).mean():.0%}",
        f"{middle(rows['ours']):.0f}",
        f"{middle(ratio):.2f}",
        f"{middle(ratio, 0.9):.2f}",
        f"{middle(rows['fewest'] / rows['theirs']):.2f}" if "fewest" in rows else "",
        f"{(ratio <= 1 / 3).float().mean():.0%}",
        f"{ratio.isinf().float().mean():.0%}",
        f"{middle(rows['own iterations']):.0f}",
        f"{middle(rows['own cost']):.3f}",
        f"{rows['own cost'].max():.3f}",
        f"{rows['rises'].mean():.0%}",
        f"{rows['above'].mean():.0%}",
        f"{middle(ratio * rows['time']):.2f}",
    ]
    return f"| {' | '.join(str(each) for each in made)} |"


def middle(values: Tensor, share: float = 0.5) -> float:
    return values.quantile(share, interpolation="nearest").item()


def measure(given: Problem, trace: Trace, limit: int, bounded: bool) -> dict[str, Tensor]:
    """One row for each element of a problem; the bound is that of an image."""
    everything = torch.arange(len(given.start))
    begin = torch.minimum(given.start.clamp(min=0), given.upper)
    first = given.cost(begin, everything)
    goal = torch.minimum(trace.cost, first) + ROUNDING * first.abs()
    reached, _, seconds = ours(given, goal, limit)
    *_, usual = minimize(given.cost, given.start, given.upper, SolverSettings())
    # Costs of scores are below 0, and some others end at 0.
    share = 1 + (usual.cost - trace.cost) / torch.maximum(first.abs(), trace.cost.abs()).clamp(min=1e-12)
    rows = {"fewest": fewest(given, goal)} if bounded else {}
    return rows | {
        "theirs": trace.iterations, "ended": trace.ended.float(), "ours": reached,
        "own iterations": usual.iterations.float(), "own cost": share,
        "rises": trace.rises / trace.iterations, "above": (trace.cost > first * (1 + 1e-6)).float(),
        "time": torch.full_like(reached, seconds / trace.seconds),
    }  # fmt: skip


def best_constant(given: Problem, limit: int, tau: float, window: int) -> Trace:
    """Of the constant steps the one that ends first, of those that come within a thousandth of the lowest cost."""
    begin = torch.minimum(given.start.clamp(min=0), given.upper)
    everything = torch.arange(len(begin))
    with torch.enable_grad():
        at = begin.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(given.cost(at, everything).sum(), at)
    highest = given.curvature(begin, given.diagonal(begin), gradient).flatten(1).amax(1).clamp(min=1e-12)
    traces = [
        algorithm_2(given, limit, tau, window, torch.minimum(factor * 0.5 / highest, torch.tensor(1e3)))
        for factor in FACTORS
    ]
    costs = torch.stack([trace.cost for trace in traces])
    good = costs <= costs.amin(0) + 1e-3 * costs.amin(0).abs()
    took = torch.stack([trace.iterations for trace in traces]).masked_fill(~good, torch.inf)
    chosen = took.argmin(0, keepdim=True)
    picked = {
        part.name: torch.stack([getattr(trace, part.name) for trace in traces]).gather(0, chosen)[0]
        for part in fields(Trace)
        if part.name != "seconds"
    }
    return Trace(**picked, seconds=sum(trace.seconds for trace in traces) / len(traces))


def stated_problems(chain: Chain, made: LayerWise) -> list[tuple[int, UnitProblem]]:
    """Index and problem of each unit with a solver, from the inverses of the units behind it; the first unit first."""
    y = chain.output[:, None].expand(-1, len(LAMBDAS), -1)
    descent, found = Descent(chain, len(chain.units) - 1, y.flatten(0, 1)), []
    for index, inverse in zip(reversed(range(len(chain.units))), made.units, strict=True):
        stated = descent.problem()
        if stated is not None and inverse.kind not in EXACT:
            found.append((index, stated))
        descent.step(inverse, (len(chain.output), len(LAMBDAS)))
    return found[::-1]


def compare(name: str, count: int, constant: int, given: argparse.Namespace) -> list[dict[str, Tensor]]:
    """Both on all units of one network, and algorithm 2 with its best constant step on some scenes."""
    model, window = xw.load(name, device="cpu"), SolverSettings().window
    images = [scenes.scene(number, split="test") for number in range(count)]
    found = []
    print(f"{name}{HEAD}", flush=True)
    for part, few in ((images, False), (images[:constant], True)):
        if not part:
            continue
        x = torch.cat([model.images(scene.image) for scene in part])
        run = layer_wise(model, x, torch.tensor([scene.labels[0] for scene in part]))
        made: LayerWise = run.result(progress=False)
        chain, rows = Chain.of(model, x), []
        for index, stated in stated_problems(chain, made):
            goal = Goal(len(chain.units) - 1, chain.output)
            each = problem(model, _UnitStep(chain, index, stated, goal, made, SolverSettings(), 64))
            trace = (
                best_constant(each, given.limit, given.tau, window)
                if few
                else algorithm_2(each, given.limit, given.tau, window)
            )
            rows.append(measure(each, trace, given.limit, each.start.shape[1] == 3 and not few))
            print(line(f"{each.name}{', constant' if few else ''}", rows[-1]), flush=True)
        found.append({key: torch.cat([row[key] for row in rows]) for key in rows[-1]})
        print(line(f"{name}{', constant' if few else ''}", found[-1]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=8, help="held-out scenes (default 8)")
    parser.add_argument(
        "--constant-scenes", type=int, default=2, help="those tried with constant steps too (default 2)"
    )
    parser.add_argument("--limit", type=int, default=200, help="iterations of both at most (default 200)")
    parser.add_argument("--tau", type=float, default=1e-3, help="share of the costs (default 1e-3)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    with torch.no_grad():
        found = [compare(name, given.scenes, given.constant_scenes, given) for name in given.networks]
    print(HEAD)
    for index, title in enumerate(["all", "all, constant"][: len(found[0])]):
        rows = [each[index] for each in found]
        print(line(title, {key: torch.cat([row[key] for row in rows]) for key in rows[0]}))


if __name__ == "__main__":
    main()
