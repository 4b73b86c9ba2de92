"""A traced circuit as a record, and what it says in plain words.

Shares are mean effect / mean full effect (1 is the whole of what the trigger does), with intervals
over prompts; q values are Benjamini and Hochberg's. ``probes.causal.tracing``
finds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.stats.intervals import Estimate

SIGNIFICANT = 0.05  # q of a head, of its reading and of a writer
HALF = 0.5  # of the effect: what a span carries, and what a mover reads at the trigger
LEAST_HEAD = 0.1  # of the effect
LEAST_WRITER = 0.05  # of the effect
ENOUGH = 0.8  # of what all heads recover together


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
        together: their number against what they recover; on held-out pairs if ``chosen`` is given.
        chosen: how many are enough by the pairs that ranked the heads.
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
    chosen: int | None = None

    @property
    def movers(self) -> tuple[Mover, ...]:
        return tuple(head for head in self.heads if head.moves)

    @property
    def enough(self) -> Together | None:
        """The smallest measured set of heads that recovers 0.8 of what all heads do.

        Chosen on the pairs that ranked the heads; its share is of held-out ones. In runs of before
        both were the same pairs.
        """
        if self.chosen is not None:
            return next((some for some in self.together if some.size == self.chosen), None)
        return next((some for some in self.together if some.share.value >= ENOUGH), None)

    def sentence(self) -> str:
        """What was found, in plain words."""
        if self.leaves is None or self.arrives is None:
            return (
                f"The trigger does not measurably change the {self.metric} "
                f"(mean change {self.full}), so there is nothing to trace."
            )
        return " ".join(
            [
                _read_text(self.leaves, self.arrives, self.layers),
                *_moved_text(self),
                _written_text(self.writers),
            ]
        )


_NAMED = 6  # parts that the sentence names


def _read_text(leaves: Estimate, arrives: Estimate, layers: int) -> str:
    text = "No layer's residual at the trigger alone carries half of the effect"
    if leaves.value > 0:
        text = f"The trigger is read at its own token up to layer {_layers(leaves, -1)}"
    if arrives.value >= layers:
        return f"{text}; at the last token half of it stands only after the last layer."
    return f"{text}; from layer {_layers(arrives)} on the last token alone carries half of it."


def _moved_text(trace: Trace) -> list[str]:
    sentences = []
    if trace.movers:
        names = _listed([f"{head.name} ({head.restored:.0%p})" for head in trace.movers])
        sentences.append(f"It is moved by head{'s' * (len(trace.movers) > 1)} {names}.")
    else:
        sentences.append("No single head was found to move it.")
    if enough := trace.enough:
        held_out = "" if trace.chosen is None else ", on prompts that did not choose them"
        sentences.append(
            f"Patched together, the strongest {enough.size} head{'s' * (enough.size > 1)} of "
            f"{trace.tests} {'recovers' if enough.size == 1 else 'recover'} "
            f"{enough.share:.0%p} of what all heads do{held_out}."
        )
    return sentences


def _written_text(writers: Sequence[TraceStep]) -> str:
    named = {(step.stream, step.layer) for step in writers if step.head is not None}
    # An attention output is named only where none of its heads is.
    positive = [
        f"{step.name} ({step.direct:.0%p})"
        for step in writers
        if step.direct.value > 0 and not (step.stream == "attn_out" and ("z", step.layer) in named)
    ]
    if not positive:
        return "No single part writes it straight into the logits."
    return f"It is written straight into the logits by {_listed(positive)}."


def _layers(layer: Estimate, shift: int = 0) -> str:
    value, low, high = (int(x) + shift for x in (layer.value, layer.low, layer.high))
    return f"{value} [{max(low, 0)}, {high}]"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    if rest > 0:
        return f"{', '.join(names[:_NAMED])} and {rest} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
