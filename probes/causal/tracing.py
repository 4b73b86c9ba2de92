"""What the measurements of ``circuits.patching.trace`` say of a circuit, with intervals.

q is Benjamini and Hochberg's over the cells tested together (`probes.causal.tables`). A
layer at which something happens is found anew in every resample of the prompts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import Measured, PatchGrid
from probes.causal.circuit import (
    HALF,
    LEAST_HEAD,
    LEAST_WRITER,
    SIGNIFICANT,
    Mover,
    Together,
    Trace,
    TraceStep,
)
from probes.causal.tables import grid_stats
from probes.stats.checks import at_least_one, check_level, generator
from probes.stats.intervals import Estimate, estimates, is_scale, mean_interval
from probes.stats.means import ratio_bounds

_SHARE = "ratio of means, paired"
_LAYER = "layer, percentile bootstrap"


def trace(measured: Measured, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Trace:
    """Judge the measurements.

    Raises:
        ValueError: fewer than 2 pairs, or a level outside (0, 1).
    """
    check_level(level)
    heads, last = measured.heads, measured.spans[-1]
    mean = partial(mean_interval, level=level)
    full = mean(heads.full_effect)
    n_layers, n_heads, n = heads.values.shape
    empty = Trace(heads.metric, n, n_layers, n_layers * n_heads, full, {}, None, None, (), (), ())
    sides = (heads.full_effect, measured.noised.full_effect)
    if not all(is_scale(side, level) for side in sides):
        return empty
    judged = partial(_judged, level=level)
    read = {span: tuple(judged(grid).shares) for span, grid in measured.read.items()}
    layer = partial(_layer, level=level, resamples=resamples, seed=seed)
    restored, removed = judged(heads), judged(measured.noised)
    direct = {stream: judged(grid) for stream, grid in measured.direct.items()}
    totals = {"z": restored, **{stream: judged(grid) for stream, grid in measured.outputs.items()}}
    return Trace(
        metric=heads.metric,
        n=n,
        layers=n_layers,
        tests=n_layers * n_heads,
        full=full,
        read=read,
        leaves=layer(measured.read[measured.spans[0]], arriving=False),
        arrives=layer(measured.read[last], arriving=True),
        heads=_movers(measured, restored, removed, direct["z"], judged, mean),
        together=_together(measured, level),
        writers=_writers(direct, totals),
        chosen=measured.chosen,
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """A grid's shares and their q, in the cells' shape."""

    shares: Any  # an array of estimates
    q: np.ndarray


def _judged(grid: PatchGrid, level: float) -> _Judged:
    stats = grid_stats(grid, level)
    n = grid.values.shape[-1]
    parts = (stats.recovery, stats.recovery_low, stats.recovery_high)
    shares = np.array(estimates(*parts, n, _SHARE, level), dtype=object)
    return _Judged(shares.reshape(stats.q.shape), stats.q.numpy())


def _layer(grid: PatchGrid, arriving: bool, level: float, resamples: int, seed: int) -> Estimate:
    """The layer at which a span begins to carry half of the effect, or from which on it does not.

    Beyond the last layer, by definition, the last token alone carries all and any other nothing.
    """
    n = grid.values.shape[-1]
    effects, full = grid.effects.to(torch.float64), grid.full_effect.to(torch.float64)
    index = torch.randint(n, (n, at_least_one(resamples)), generator=generator(seed))
    resampled = _crossing(effects[:, index].mean(dim=1) / full[index].mean(dim=0), arriving)
    value = _crossing(effects.mean(dim=-1, keepdim=True) / full.mean(), arriving).item()
    tail = (1 - level) / 2
    low = resampled.quantile(tail, interpolation="lower").item()
    high = resampled.quantile(1 - tail, interpolation="higher").item()
    return Estimate(value, min(low, value), max(high, value), n, level, _LAYER)


def _crossing(
    shares: Float[Tensor, "layer resamples"], arriving: bool
) -> Float[Tensor, " resamples"]:
    carried = (shares >= HALF).to(torch.float64)
    layers = torch.arange(len(shares), dtype=torch.float64)[:, None]
    if arriving:
        return torch.where(carried > 0, layers, float(len(shares))).amin(dim=0)
    return (carried * (layers + 1)).amax(dim=0)


def _movers(
    measured: Measured,
    restored: _Judged,
    removed: _Judged,
    direct: _Judged,
    judged: Callable[[PatchGrid], _Judged],
    mean: Callable[[Tensor], Estimate],
) -> tuple[Mover, ...]:
    """The strongest heads with all that is known of them."""
    trigger = measured.spans[0]
    written = {span: judged(grid) for span, grid in measured.written.items()}
    sources = {span: judged(grid) for span, grid in measured.sources.items()}
    values = {span: judged(grid) for span, grid in measured.values.items()}
    heads = []
    for i, at in enumerate(measured.strong):
        effect, reading = restored.shares[at], sources[trigger]
        moves = (
            max(restored.q[at], reading.q[i]) <= SIGNIFICANT
            and effect.value >= LEAST_HEAD
            and reading.shares[i].value >= HALF * effect.value
        )
        heads.append(
            Mover(
                *at,
                bool(moves),
                effect,
                float(restored.q[at]),
                removed.shares[at],
                float(removed.q[at]),
                written={span: part.shares[i] for span, part in written.items()},
                sources={span: part.shares[i] for span, part in sources.items()},
                values={span: part.shares[i] for span, part in values.items()},
                source_q=float(reading.q[i]),
                attention={span: mean(w[i]) for span, w in measured.attention.items()},
                attention_clean={span: mean(w[i]) for span, w in measured.attention_clean.items()},
                direct=direct.shares[at],
            )
        )
    return tuple(heads)


def _together(measured: Measured, level: float) -> tuple[Together, ...]:
    """Shares of what all heads recover; nothing where that itself may be nothing."""
    effects = measured.together.effects
    if not is_scale(effects[-1], level):
        return ()
    parts = ratio_bounds(effects, effects[-1], level)
    shares = estimates(*parts, effects.shape[-1], _SHARE, level)
    return tuple(Together(*row) for row in zip(measured.sizes, shares, strict=True))


def _writers(direct: Mapping[str, _Judged], totals: Mapping[str, _Judged]) -> tuple[TraceStep, ...]:
    """What acts on the logits directly, by falling size."""
    steps = [
        TraceStep(
            stream,
            index[0],
            index[1] if len(index) == 2 else None,
            share,
            float(part.q[index]),
            totals[stream].shares[index],
        )
        for stream, part in direct.items()
        for index, share in np.ndenumerate(part.shares)
        if part.q[index] <= SIGNIFICANT and abs(share.value) >= LEAST_WRITER
    ]
    return tuple(sorted(steps, key=lambda step: -abs(step.direct.value)))
