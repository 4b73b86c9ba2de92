"""A traced circuit: what the measurements of ``circuits.trace`` say, with intervals.

Shares are mean effect / mean full effect (1 is the whole of what the trigger does), with paired
bootstrap intervals over prompts; p values are sign-flip permutations, q Benjamini and Hochberg over
the cells tested together. A layer at which something happens is found anew in every resample.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import PatchGrid
from probes.checks import at_least_one, check_level, generator
from probes.intervals import Estimate, is_scale, mean_interval, recovery_intervals, revived
from probes.tables import GridStats, grid_stats

SIGNIFICANT = 0.05  # q of a head, of its reading and of a writer
HALF = 0.5  # of the effect: what a span carries, and what a mover reads at the trigger
LEAST_HEAD = 0.1  # of the effect
LEAST_WRITER = 0.05  # of the effect
ENOUGH = 0.8  # of what all heads recover together
_SHARE = "ratio of means, paired percentile bootstrap"
_LAYER = "layer, percentile bootstrap"


@runtime_checkable
class Measurements(Protocol):
    """What is judged here; ``circuits.trace.Measured`` says what each part is."""

    @property
    def spans(self) -> tuple[str, ...]: ...
    @property
    def read(self) -> Mapping[str, PatchGrid]: ...
    @property
    def outputs(self) -> Mapping[str, PatchGrid]: ...
    @property
    def heads(self) -> PatchGrid: ...
    @property
    def noised(self) -> PatchGrid: ...
    @property
    def strong(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def written(self) -> Mapping[str, PatchGrid]: ...
    @property
    def sources(self) -> Mapping[str, PatchGrid]: ...
    @property
    def values(self) -> Mapping[str, PatchGrid]: ...
    @property
    def attention(self) -> Mapping[str, Tensor]: ...
    @property
    def attention_clean(self) -> Mapping[str, Tensor]: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def together(self) -> PatchGrid: ...
    @property
    def direct(self) -> Mapping[str, PatchGrid]: ...


@dataclass(frozen=True)
class Mover:
    """One of the strongest heads, and whether it moves the trigger's information.

    Attributes:
        layer, head: which.
        moves: q <= 0.05, at least 0.1 recovered, and it reads this at the trigger: significant
            over the strongest heads, and at least half of what the head recovers.
        restored, removed: share recovered by its triggered output in the clean run, and lost by
            its clean output in the triggered run; with their q over all heads.
        written: share recovered where it is patched at one span only.
        sources: share recovered by what it reads at one span (keys and values).
        values: the same by values alone, at the clean run's attention.
        source_q: of ``sources`` at the trigger, over the strongest heads.
        attention, attention_clean: weight from the last token on each span, in the two runs.
        direct: share through its straight path into the logits.
    """

    layer: int
    head: int
    moves: bool
    restored: Estimate
    restored_q: float
    removed: Estimate
    removed_q: float
    written: Mapping[str, Estimate]
    sources: Mapping[str, Estimate]
    values: Mapping[str, Estimate]
    source_q: float
    attention: Mapping[str, Estimate]
    attention_clean: Mapping[str, Estimate]
    direct: Estimate

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class TraceStep:
    """A part that acts on the logits directly: a head (``z``), attention or MLP output.

    Attributes:
        stream, layer, head: which; an output has no head.
        direct, q: share of the effect through its straight path, and its q over its stream.
        total: share recovered by its output patched at the last span, all paths counted; of a
            head, at all columns.
    """

    stream: str
    layer: int
    head: int | None
    direct: Estimate
    q: float
    total: Estimate

    @property
    def name(self) -> str:
        if self.head is not None:
            return f"head {self.layer}.{self.head}"
        return f"{'MLP' if self.stream == 'mlp_out' else 'attention'} {self.layer}"


@dataclass(frozen=True)
class Together:
    """The ``size`` strongest heads patched at once: their share of what all heads recover."""

    size: int
    share: Estimate


@dataclass(frozen=True)
class Trace:
    """Where a trigger is read, which heads move it, and what writes it out.

    Attributes:
        metric, n: what was measured, on how many pairs.
        layers, tests: layers of the model, and heads tested.
        full: what the trigger does to the metric, in its unit. Where its interval reaches 0 there
            is nothing to trace, and everything below is empty or None.
        read: span -> share carried by the residual entering every layer.
        leaves: the first layer from which on the trigger's span carries less than half.
        arrives: the first layer at which the last span carries half; ``layers`` is after the last.
        heads: the strongest heads, by falling effect.
        together: their number against what they recover.
        writers: significant direct paths of at least 0.05 either way, by falling size.
    """

    metric: str
    n: int
    layers: int
    tests: int
    full: Estimate
    read: Mapping[str, tuple[Estimate, ...]]
    leaves: Estimate | None
    arrives: Estimate | None
    heads: tuple[Mover, ...]
    together: tuple[Together, ...]
    writers: tuple[TraceStep, ...]

    @property
    def movers(self) -> tuple[Mover, ...]:
        return tuple(head for head in self.heads if head.moves)

    @property
    def enough(self) -> Together | None:
        """The smallest measured set of heads that recovers 0.8 of what all heads do."""
        return next((some for some in self.together if some.share.value >= ENOUGH), None)

    def to_json(self) -> dict[str, Any]:
        """All numbers, with the sentence, as JSON values."""
        found = asdict(self)
        enough = self.enough
        return {**found, "enough": enough.size if enough else None, "sentence": self.sentence()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Trace":
        """The inverse of ``to_json``."""
        found = {name: revived(value[name]) for name in cls.__dataclass_fields__}
        for name, kind in (("heads", Mover), ("together", Together), ("writers", TraceStep)):
            found[name] = tuple(kind(**part) for part in found[name])
        return cls(**found)

    def sentence(self) -> str:
        """What was found, in plain words."""
        if self.leaves is None or self.arrives is None:
            return (
                f"The trigger does not measurably change the {self.metric} "
                f"(mean change {self.full}), so there is nothing to trace."
            )
        return " ".join(
            [_read_text(self.leaves, self.arrives, self.layers), *_moved_text(self),
             _written_text(self.writers)]
        )  # fmt: skip


def pairs_needed(tests: int) -> int:
    """The fewest pairs with which one cell alone among `tests` can have q <= 0.05 (sign flips)."""
    n = 2
    while 2 ** (1 - n) * tests > SIGNIFICANT:
        n += 1
    return n


def trace(found: Measurements, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Trace:
    """Judge the measurements.

    Raises:
        ValueError: fewer than 2 pairs, or a level outside (0, 1).
    """
    check_level(level)
    heads, last = found.heads, found.spans[-1]
    mean = partial(mean_interval, level=level, resamples=resamples, seed=seed)
    full = mean(heads.full_effect)
    n_layers, n_heads, n = heads.values.shape
    empty = Trace(heads.metric, n, n_layers, n_layers * n_heads, full, {}, None, None, (), (), ())
    sides = (heads.full_effect, found.noised.full_effect)
    if not all(is_scale(side, level, resamples, seed) for side in sides):
        return empty
    judged = partial(_judged, level=level, resamples=resamples, seed=seed)
    read = {span: tuple(judged(grid).shares) for span, grid in found.read.items()}
    layer = partial(_layer, level=level, resamples=resamples, seed=seed)
    restored, removed = judged(heads), judged(found.noised)
    direct = {stream: judged(grid) for stream, grid in found.direct.items()}
    totals = {"z": restored, **{stream: judged(grid) for stream, grid in found.outputs.items()}}
    return Trace(
        metric=heads.metric,
        n=n,
        layers=n_layers,
        tests=n_layers * n_heads,
        full=full,
        read=read,
        leaves=layer(found.read[found.spans[0]], arriving=False),
        arrives=layer(found.read[last], arriving=True),
        heads=_movers(found, restored, removed, direct["z"], judged, mean),
        together=_together(found, level, resamples, seed),
        writers=_writers(direct, totals),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """A grid's shares, cell after cell, and q in the cells' shape."""

    shares: list[Estimate]
    stats: GridStats

    def share(self, *index: int) -> Estimate:
        width = self.stats.q.shape[-1]
        return self.shares[index[0] * width + index[1] if len(index) == 2 else index[0]]

    def q(self, *index: int) -> float:
        return float(self.stats.q[index])


def _judged(grid: PatchGrid, level: float, resamples: int, seed: int) -> _Judged:
    stats = grid_stats(grid, level, resamples, seed)
    n = grid.values.shape[-1]
    parts = (stats.recovery, stats.recovery_low, stats.recovery_high)
    cells = zip(*(part.flatten().tolist() for part in parts), strict=True)
    shares = [Estimate(value, low, high, n, level, _SHARE) for value, low, high in cells]
    return _Judged(shares, stats)


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
    found: Measurements,
    restored: _Judged,
    removed: _Judged,
    direct: _Judged,
    judged: Callable[[PatchGrid], _Judged],
    mean: Callable[[Tensor], Estimate],
) -> tuple[Mover, ...]:
    """The strongest heads with all that is known of them."""
    trigger = found.spans[0]
    lists = {
        name: {span: judged(grid) for span, grid in part.items()}
        for name, part in (
            ("written", found.written), ("sources", found.sources), ("values", found.values)
        )
    }  # fmt: skip
    heads = []
    for i, (layer, head) in enumerate(found.strong):
        at = (layer, head)
        effect, reading = restored.share(*at), lists["sources"][trigger]
        moves = (
            max(restored.q(*at), reading.q(i)) <= SIGNIFICANT
            and effect.value >= LEAST_HEAD
            and reading.share(i).value >= HALF * effect.value
        )
        weights = {
            side: {span: mean(weight[i]) for span, weight in part.items()}
            for side, part in (
                ("attention", found.attention), ("attention_clean", found.attention_clean)
            )
        }  # fmt: skip
        spans = {k: {span: part.share(i) for span, part in v.items()} for k, v in lists.items()}
        heads.append(
            Mover(
                layer, head, moves, effect, restored.q(*at), removed.share(*at), removed.q(*at),
                **spans, source_q=reading.q(i), **weights, direct=direct.share(*at),
            )
        )  # fmt: skip
    return tuple(heads)


def _together(found: Measurements, level: float, resamples: int, seed: int) -> tuple[Together, ...]:
    """Shares of what all heads recover; nothing where that itself may be nothing."""
    effects = found.together.effects
    if not is_scale(effects[-1], level, resamples, seed):
        return ()
    parts = recovery_intervals(effects, effects[-1], level, resamples, seed)
    n = effects.shape[-1]
    shares = zip(*(part.tolist() for part in parts), strict=True)
    return tuple(
        Together(size, Estimate(value, low, high, n, level, _SHARE))
        for size, (value, low, high) in zip(found.sizes, shares, strict=True)
    )


def _writers(direct: Mapping[str, _Judged], totals: Mapping[str, _Judged]) -> tuple[TraceStep, ...]:
    """What acts on the logits directly, by falling size."""
    steps = []
    for stream, part in direct.items():
        reached = (part.stats.q <= SIGNIFICANT) & (part.stats.recovery.abs() >= LEAST_WRITER)
        for index in reached.nonzero().tolist():
            head = index[1] if len(index) == 2 else None
            share, total = part.share(*index), totals[stream].share(*index)
            steps.append(TraceStep(stream, index[0], head, share, part.q(*index), total))
    return tuple(sorted(steps, key=lambda step: -abs(step.direct.value)))


_NAMED = 6  # parts that the sentence names


def _read_text(leaves: Estimate, arrives: Estimate, layers: int) -> str:
    text = "No layer's residual at the trigger alone carries half of the effect"
    if leaves.value > 0:
        text = f"The trigger is read at its own token up to layer {_layers(leaves, -1)}"
    if arrives.value >= layers:
        return f"{text}; at the last token half of it stands only after the last layer."
    return f"{text}; from layer {_layers(arrives)} on the last token alone carries half of it."


def _moved_text(found: Trace) -> list[str]:
    said = []
    if found.movers:
        names = _listed([f"{head.name} ({_percent(head.restored)})" for head in found.movers])
        said.append(f"It is moved by {_plural('head', len(found.movers))} {names}.")
    else:
        said.append("No single head was found to move it.")
        if found.n < (needed := pairs_needed(found.tests)):
            said.append(
                f"With {found.n} pairs one head alone cannot reach q ≤ {SIGNIFICANT} among "
                f"{found.tests}; use {needed} or more."
            )
    if enough := found.enough:
        said.append(
            f"Patched together, the strongest {_plural('head', enough.size, enough.size)} of "
            f"{found.tests} {'recovers' if enough.size == 1 else 'recover'} "
            f"{_percent(enough.share)} of what all heads do."
        )
    return said


def _written_text(writers: Sequence[TraceStep]) -> str:
    said = {(step.stream, step.layer) for step in writers if step.head is not None}
    # An attention output is named only where none of its heads is.
    positive = [
        f"{step.name} ({_percent(step.direct)})"
        for step in writers
        if step.direct.value > 0 and not (step.stream == "attn_out" and ("z", step.layer) in said)
    ]
    if not positive:
        return "No single part writes it straight into the logits."
    return f"It is written straight into the logits by {_listed(positive)}."


def _layers(layer: Estimate, shift: int = 0) -> str:
    value, low, high = (int(x) + shift for x in (layer.value, layer.low, layer.high))
    return f"{value} [{max(low, 0)}, {high}]"


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.0f}% [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    if rest > 0:
        return f"{', '.join(names[:_NAMED])} and {rest} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _plural(word: str, count: int, shown: int | None = None) -> str:
    text = word if count == 1 else f"{word}s"
    return text if shown is None else f"{shown} {text}"
