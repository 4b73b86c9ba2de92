"""How often intervals hold the truth: those in use, and beside each those that it replaced.

Shares and paired shares are enumerated, so their coverage is exact; everything else is simulated
from a seed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import binom, binomtest, lognorm, multinomial
from scipy.stats import t as student
from torch import Tensor

from probes.stats.clusters import effective_n
from probes.stats.means import mean_bounds, ratio_bounds, reaches_zero, units_of
from probes.stats.shares import clopper_pearson_bounds, tango_bounds, wilson_bounds

EDGES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08)
RATES = np.array([*EDGES, *np.linspace(0.1, 0.9, 33), *(1 - np.array(EDGES[::-1]))])
FEWER = (0.005, 0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.995)
SIZES = (8, 12, 14, 24, 40, 150)
CORRELATIONS = (0.0, 0.1, 0.31, 0.5)
GROUPS = ((3, 8), (4, 6), (6, 4), (8, 3), (12, 12))  # groups, answers in each
DRAWS, RESAMPLES = 2000, 600
Bounds = tuple[Tensor, Tensor]
Method = Callable[..., Bounds]


@dataclass(frozen=True)
class Coverage:
    """One method at one size: coverage and width over a grid of truths."""

    question: str
    method: str
    size: str
    held: tuple[float, ...]
    width: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.held))


def tensor(values: object) -> Float[Tensor, "..."]:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def shares() -> Iterator[Coverage]:
    """Exact, over `RATES`."""
    for n in SIZES:
        seen = tensor(np.arange(n + 1) / n)
        plain = [binomtest(k, n).proportion_ci(method="wilson") for k in range(n + 1)]
        methods = {
            "Wilson, few mended (in use)": wilson_bounds(seen, n),
            "Wilson": tuple(tensor([getattr(p, end) for p in plain]) for end in ("low", "high")),
            "Clopper-Pearson": clopper_pearson_bounds(seen, n),
        }
        chances = binom.pmf(np.arange(n + 1)[:, None], n, RATES)
        for method, (low, high) in methods.items():
            inside = (low.numpy()[:, None] <= RATES) & (high.numpy()[:, None] >= RATES)
            width = float((chances * (high - low).numpy()[:, None]).sum(0).mean())
            held = tuple((chances * inside).sum(0).tolist())
            yield Coverage("a share", method, f"n = {n}", held, width)


def differences() -> Iterator[Coverage]:
    """Independent shares, exact, over all pairs of `FEWER`."""
    for n, m in ((8, 8), (14, 14), (24, 24), (24, 150)):
        sides = [tensor(np.arange(k + 1) / k) for k in (n, m)]
        for method in ("MOVER of those (in use)", "plus or minus 1.96 errors"):
            first, second = sides[0][:, None], sides[1][None]
            apart = first - second
            if "MOVER" in method:
                (a, b), (c, d) = wilson_bounds(sides[0], n), wilson_bounds(sides[1], m)
                low = apart - torch.hypot(first - a[:, None], d[None] - second)
                high = apart + torch.hypot(b[:, None] - first, second - c[None])
            else:
                half = 1.96 * (first * (1 - first) / n + second * (1 - second) / m).sqrt()
                low, high = apart - half, apart + half
            held = []
            for p, q in product(FEWER, FEWER):
                chance = np.outer(
                    binom.pmf(np.arange(n + 1), n, p), binom.pmf(np.arange(m + 1), m, q)
                )
                inside = (low <= p - q + 1e-12) & (high >= p - q - 1e-12)
                held.append(float(chance[inside.numpy()].sum()))
            question = "a difference of independent shares"
            width = float((high - low).mean())
            yield Coverage(question, method, f"n = {n} and {m}", tuple(held), width)


def paired() -> Iterator[Coverage]:
    """Paired shares, exact, over what is gained and lost."""
    grid = [(p, q) for p, q in product((0, 0.005, 0.02, 0.05, 0.2, 0.5, 0.8, 0.95), repeat=2)]
    grid = [(p, q) for p, q in grid if 0 < p + q < 1]
    rng = np.random.default_rng(0)
    for n in (8, 12, 14, 24, 40):
        counts = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
        b, c = tensor(counts[:, 0]), tensor(counts[:, 1])
        drawn = np.stack(
            [rng.multinomial(n, (x / n, y / n, (n - x - y) / n), RESAMPLES) for x, y in counts]
        )
        means = (drawn[..., 0] - drawn[..., 1]) / n
        methods = {
            "Tango (in use)": tango_bounds(b, c, n),
            "percentile bootstrap (replaced)": tuple(
                tensor(np.quantile(means, share, axis=1)) for share in (0.025, 0.975)
            ),
        }
        rest = n - counts.sum(1)
        for method, (low, high) in methods.items():
            held, widths = [], []
            for p, q in grid:
                chance = multinomial.pmf(np.c_[counts, rest], n, (p, q, 1 - p - q))
                inside = (low <= p - q + 1e-12) & (high >= p - q - 1e-12)
                held.append(float(chance[inside.numpy()].sum()))
                widths.append(float((chance * (high - low).numpy()).sum()))
            question = "a paired difference of shares"
            yield Coverage(question, method, f"n = {n}", tuple(held), float(np.mean(widths)))


def beta_rates(rng: np.random.Generator, share: float, alike: float, groups: int) -> np.ndarray:
    """Rates of the groups [draws, groups], of a mean and intra-class correlation."""
    if alike == 0:
        return np.full((DRAWS, groups), share)
    scale = (1 - alike) / alike
    return rng.beta(share * scale, (1 - share) * scale, (DRAWS, groups))


def answered(rng: np.random.Generator, rates: np.ndarray, size: int) -> Float[Tensor, "draws n"]:
    return tensor(rng.random((*rates.shape, size)) < rates[..., None]).flatten(1)


def grouped() -> Iterator[Coverage]:
    """Shares and paired differences of answers in groups, by simulation."""
    rng = np.random.default_rng(1)
    for groups, size in GROUPS:
        member, n = torch.arange(groups).repeat_interleave(size), groups * size
        name = f"{groups} groups of {size}"
        for question, truths in _GROUPED.items():
            tried: dict[str, list[tuple[float, float]]] = {}
            for truth, alike in product(truths, CORRELATIONS):
                sides = [answered(rng, beta_rates(rng, p, alike, groups), size) for p in truth]
                mean = truth[0] - sum(truth[1:])
                for method, (low, high) in _METHODS[question](sides, member, n).items():
                    inside = (low <= mean + 1e-12) & (high >= mean - 1e-12)
                    width = float((high - low).mean())
                    tried.setdefault(method, []).append((float(inside.double().mean()), width))
            for method, rows in tried.items():
                held, widths = zip(*rows, strict=True)
                yield Coverage(question, method, name, held, float(np.mean(widths)))


def _share_methods(sides: Sequence[Tensor], member: Tensor, n: int) -> dict[str, Bounds]:
    return {
        "Korn-Graubard (in use)": korn_graubard(sides[0], member),
        "Wilson, as if independent (replaced)": wilson_bounds(sides[0].mean(-1), n),
        "Wilson, a trial for each group (replaced)": wilson_bounds(
            sides[0].mean(-1), float(len(member.unique()))
        ),
    }


def korn_graubard(rows: Tensor, member: Tensor) -> Bounds:
    share = rows.mean(-1)
    return clopper_pearson_bounds(share, effective_n(rows, member, share * (1 - share)))


def _paired_methods(sides: Sequence[Tensor], member: Tensor, n: int) -> dict[str, Bounds]:
    change = sides[0] - sides[1]
    gained, lost = ((change == sign).double().mean(-1) for sign in (1, -1))
    worth = effective_n(change, member, change.var(-1, correction=0))
    return {
        "Tango of the effective n (in use)": tango_bounds(gained * worth, lost * worth, worth),
        "Tango, as if independent": tango_bounds(gained * n, lost * n, n),
        "CR2 alone": cr2(change, member),
    }


def _apart_methods(sides: Sequence[Tensor], member: Tensor, n: int) -> dict[str, Bounds]:
    (a, b), (c, d) = (korn_graubard(side, member) for side in sides)
    first, second = (side.mean(-1) for side in sides)
    apart = first - second
    return {
        "MOVER of Korn-Graubard (in use)": (
            apart - torch.hypot(first - a, d - second),
            apart + torch.hypot(b - first, second - c),
        )
    }


def cr2(rows: Tensor, member: Tensor) -> Bounds:
    units = units_of(rows, member)
    half = float(student.ppf(0.975, units.freedom)) * units.error
    return units.mean - half, units.mean + half


_PAIRS = [(p, q) for p, q in product((0.005, 0.1, 0.5, 0.9, 0.995), repeat=2) if p >= q]
_GROUPED: dict[str, list[tuple[float, ...]]] = {
    "a share over groups": [(p,) for p in FEWER],
    "a paired difference of shares over groups": [(p, q) for p, q in _PAIRS],
    "a difference of shares over groups": [(p, q) for p, q in _PAIRS],
}
_METHODS: dict[str, Callable[[Sequence[Tensor], Tensor, int], dict[str, Bounds]]] = {
    "a share over groups": _share_methods,
    "a paired difference of shares over groups": _paired_methods,
    "a difference of shares over groups": _apart_methods,
}


def skewed(rng: np.random.Generator, *shape: int) -> dict[str, Tensor]:
    """Draws of mean 0, from even to very skewed."""
    return {
        "normal": tensor(rng.normal(size=shape)),
        "exponential": tensor(rng.exponential(size=shape) - 1),
        "lognormal, 0.5": tensor(rng.lognormal(0, 0.5, shape) - lognorm.mean(0.5)),
        "lognormal, 1": tensor(rng.lognormal(0, 1, shape) - lognorm.mean(1)),
        "Student's t, 3": tensor(rng.standard_t(3, shape)),
    }


def resampled(rows: Tensor, studentised: bool) -> Bounds:
    """The percentile or the studentised bootstrap of the mean."""
    n, mean = rows.shape[-1], rows.mean(-1, keepdim=True)
    centred = rows - mean
    index = torch.randint(n, (n, RESAMPLES), generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(n, RESAMPLES, dtype=torch.float64)
    weights.scatter_add_(0, index, torch.full(index.shape, 1 / n, dtype=torch.float64))
    drawn = centred @ weights
    if not studentised:
        low, high = np.quantile(drawn.numpy(), (0.025, 0.975), axis=1)
        return mean[:, 0] + tensor(low), mean[:, 0] + tensor(high)
    spread = ((centred.square() @ weights - drawn.square()).clamp_min(1e-18) / (n - 1)).sqrt()
    low, high = np.quantile((drawn / spread).numpy(), (0.025, 0.975), axis=1)
    error = rows.std(-1) / n**0.5
    return mean[:, 0] - tensor(high) * error, mean[:, 0] - tensor(low) * error


def means() -> Iterator[Coverage]:
    rng = np.random.default_rng(2)
    methods: dict[str, Method] = {
        "Student's t and Hall's (in use)": mean_bounds,
        "percentile bootstrap (replaced)": lambda x: resampled(x, False),
        "studentised bootstrap": lambda x: resampled(x, True),
        "Student's t": lambda x: cr2(x, torch.arange(x.shape[-1])),
    }
    for n in SIZES:
        drawn = skewed(rng, DRAWS, n)
        for method, bounds in methods.items():
            yield _simulated("a mean", method, f"n = {n}", [bounds(x) for x in drawn.values()], 0)
    for groups, size in GROUPS[2:]:
        member = torch.arange(groups).repeat_interleave(size)
        rows = []
        for alike in CORRELATIONS:
            inner, outer = skewed(rng, DRAWS, groups * size), skewed(rng, DRAWS, groups)
            rows += [
                alike**0.5 * outer[k][:, member] + (1 - alike) ** 0.5 * inner[k] for k in inner
            ]
        named: dict[str, Method] = {
            "CR2 and Hall's (in use)": lambda x, g=member: mean_bounds(x, groups=g),
            "CR2 alone": lambda x, g=member: cr2(x, g),
            "percentile bootstrap, as if independent (replaced)": lambda x: resampled(x, False),
        }
        for method, bounds in named.items():
            size_name = f"{groups} groups of {size}"
            yield _simulated("a mean over groups", method, size_name, map(bounds, rows), 0)


def ratios() -> Iterator[Coverage]:
    """Shares of a full effect, where they are given: proportional to it, and beside it."""
    rng = np.random.default_rng(3)
    for n in (8, 12, 14, 24):
        bounds = []
        for kind, noise in skewed(rng, DRAWS, n).items():
            full = noise + (3 if kind in ("normal", "Student's t, 3") else 2)
            beside = 0.3 * full + 0.5 * skewed(rng, DRAWS, n)["exponential"]
            low, high = mean_bounds(full)
            given = ~reaches_zero(low, high, full)
            for part in (beside, full * tensor(rng.beta(1.5, 3.5, full.shape))):
                bounds.append(ratio_bounds(part[given], full[given])[1:])
        yield _simulated("a ratio of means", "Fieller and Hall's (in use)", f"n = {n}", bounds, 0.3)


def _simulated(question: str, method: str, size: str, bounds, truth: float) -> Coverage:
    held, widths = [], []
    for low, high in bounds:
        held.append(float(((low <= truth) & (truth <= high)).double().mean()))
        widths.append(float((high - low).median()))
    return Coverage(question, method, size, tuple(held), float(np.mean(widths)))


CASES = (shares, differences, paired, grouped, means, ratios)
