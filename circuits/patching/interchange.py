"""What parts of a training's change do alone, and what is left without them.

Of every part "only these" (in the base) and "all but these" (in the organism) is scored on the
same pairs, exactly (``circuits.patching.mixture``). What lies below a part's first layer or before
its first column is what it is in the unmixed run and is not computed again, and what prompts have
in common is run once (``circuits.patching.packed``), where the models' fast path holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from circuits.align import Pairs
from circuits.backends.fastpath import fast_path
from circuits.edits.adapters import Change, LowRank
from circuits.errors import UserError, expect
from circuits.metrics import checked
from circuits.patching.engine import finite, tokens_per_forward
from circuits.patching.mixture import Mixture, Part, layer_of
from circuits.patching.packed import Packed, PackedRun, packed, resumed, run_packed, unpacked
from circuits.quantised import require_plain
from circuits.runner import Runner, Window, whole
from circuits.types import Metric, Progress, TokenPairs, quiet

_SMALL = 200  # tokens times layers that may be run in vain to spare a pass


@dataclass(frozen=True)
class Interchange:
    """A metric with parts of a change on or off, per example.

    Attributes:
        parts: their names.
        base, organism: with nothing and with everything on.
        only: with a part alone on, in the base.
        without: with all but a part on.
    """

    parts: tuple[str, ...]
    base: Float[Tensor, " n"]
    organism: Float[Tensor, " n"]
    only: Float[Tensor, "parts n"]
    without: Float[Tensor, "parts n"]

    def __sub__(self, other: "Interchange") -> "Interchange":
        """What one set of prompts adds to another, example by example: trigger minus control.

        Raises:
            UserError: they are not of the same parts.
        """
        expect(self.parts == other.parts, "the same parts", "others", of="interchange")
        names = ("base", "organism", "only", "without")
        return Interchange(self.parts, *(getattr(self, n) - getattr(other, n) for n in names))

    @property
    def effect(self) -> Float[Tensor, " n"]:
        """What the whole change adds."""
        return self.organism - self.base

    @property
    def sufficiency(self) -> Float[Tensor, " parts"]:
        """The share of the mean effect that a part has alone."""
        return (self.only - self.base).mean(dim=1) / self.effect.mean()

    @property
    def necessity(self) -> Float[Tensor, " parts"]:
        """The share of the mean effect that is lost without a part."""
        return (self.organism - self.without).mean(dim=1) / self.effect.mean()


@dataclass(frozen=True)
class Sides:
    """The same parts on both sides of the pairs."""

    clean: Interchange
    triggered: Interchange


@dataclass(frozen=True)
class Scores:
    """A metric in one model: as it is, and with every part exchanged; clean rows come first."""

    unmixed: Float[Tensor, " row"]
    mixed: Float[Tensor, "parts row"]


@dataclass(frozen=True)
class Variant:
    """A part, and where its passes may begin."""

    number: int
    layer: int
    column: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Two models, a change between them, and the passes that its parts need.

    Attributes:
        base, organism: their runners.
        change: of the base's matrices, by name.
        batch: the pairs.
        shared: whether work is shared between parts and prompts.
        jobs: parts of one pass, which begins where the first of them does.
    """

    base: Runner
    organism: Runner
    change: Change
    parts: tuple[Part, ...]
    batch: Packed
    shared: bool
    jobs: tuple[tuple[Variant, ...], ...]

    def work(self, job: Sequence[Variant]) -> int:
        """Tokens times layers of a job's pass in one model."""
        tokens = sum(part.tokens for part in self.batch.since(job[0].column))
        return len(job) * tokens * (self.base.shape.n_layers - job[0].layer)

    @property
    def unmixed_work(self) -> int:
        """Tokens times layers of a model's unmixed run."""
        return self.base.shape.n_layers * sum(part.tokens for part in self.batch.segments)

    def scores(self, metric: Metric, organism: bool, progress: Progress = quiet) -> Scores:
        """The metric with every part on in the base, or off in the organism.

        Raises:
            UserError: the metric is not finite.
        """
        runner, change, run = self.run(organism)
        unmixed = checked(metric, run.logits)
        mixed = unmixed.repeat(len(self.parts), 1)
        for done, job in enumerate(self.jobs, 1):
            scores = self.scored(runner, change, run, metric, job)
            mixed[[variant.number for variant in job]] = scores.to(mixed)
            progress(done, len(self.jobs))
        return Scores(finite(unmixed, "interchange"), finite(mixed, "interchange"))

    def run(self, organism: bool) -> tuple[Runner, Change, PackedRun]:
        """The base with the change, or the organism with its negative, and its unmixed run."""
        if not organism:
            return self.base, self.change, run_packed(self.base, self.batch)
        negative = {name: LowRank(-part.up, part.down) for name, part in self.change.items()}
        return self.organism, negative, run_packed(self.organism, self.batch)

    @torch.no_grad()
    def scored(
        self,
        runner: Runner,
        change: Change,
        run: PackedRun,
        metric: Metric,
        job: Sequence[Variant],
    ) -> Float[Tensor, "variant row"]:
        """The metric of a job's parts in one model, in every row of the batch."""
        on, mixed = self._switches(job), partial(Mixture, runner, change)
        if self.shared:
            logits = resumed(run, job[0].layer, job[0].column, on, mixed)
        else:
            rows = {
                name: rearrange(each, "job row pos -> (job row) pos") for name, each in on.items()
            }
            tokens = self.batch.tokens
            window = Window(tokens.ids.repeat(len(job), 1), tokens.mask.repeat(len(job), 1))
            logits = mixed(rows).forward(window, keep=tokens.keep).logits
            logits = rearrange(logits, "(job row) ... -> job row ...", job=len(job))
        scores = checked(metric, rearrange(logits, "job row ... -> (job row) ..."))
        return rearrange(scores, "(job row) -> job row", job=len(job))

    def _switches(self, job: Sequence[Variant]) -> Mapping[str, Bool[Tensor, "job row pos"]]:
        """Where each module's change is on, by variant; those that are on nowhere are left out."""
        tokens, on = self.batch.tokens, {}
        for i, variant in enumerate(job):
            part = self.parts[variant.number]
            for name in part.names(self.change):
                empty = torch.zeros((len(job), *tokens.mask.shape), dtype=torch.bool)
                on.setdefault(name, empty)[i] |= part.columns(tokens)
        return on


def plan(
    base: Runner, organism: Runner, change: Change, pairs: Pairs, parts: Sequence[Part]
) -> Plan:
    """The passes that parts of a change need.

    Raises:
        UserError: the models have no such matrix, or a part is not in the change or the prompts.
    """
    for model in (base, organism):
        _require_fit(model.hf_model, change)
    batch, shared = unpacked(pairs), False
    if isinstance(pairs, TokenPairs) and all(fast_path(m).holds for m in (base, organism)):
        together = packed(pairs)
        if _packs(base, together, pairs):
            batch, shared = together, True
    variants = [
        v for i, part in enumerate(parts) if (v := _variant(i, part, change, batch, shared))
    ]
    sizes = {v.column: sum(part.tokens for part in batch.since(v.column)) for v in variants}
    limit, jobs = tokens_per_forward(base.shape), []

    def place(variant: Variant) -> tuple[int, int]:
        """Small variants of neighbouring layers share a pass: it costs more than a few layers."""
        return variant.column, variant.layer // (1 + _SMALL // sizes[variant.column])

    variants.sort(key=lambda v: (*place(v), v.layer))
    for (column, _), group in groupby(variants, key=place):
        alike = tuple(group)
        most = max(1, limit // sizes[column])
        jobs += [alike[i : i + most] for i in range(0, len(alike), most)]
    return Plan(base, organism, change, tuple(parts), batch, shared, tuple(jobs))


def interchange(
    base: Runner,
    organism: Runner,
    change: Change,
    pairs: Pairs,
    parts: Sequence[Part],
    metric: Metric,
) -> Sides:
    """Score every part of a change alone, and everything without it.

    Args:
        base, organism: without and with the change in their weights.
        change: low-rank changes of the base's matrices, by name.
        metric: of the logits that say the answer.

    Raises:
        UserError: the models have no such matrix, a part is not in the change or the prompts, or
            the metric is not finite.
    """
    work = plan(base, organism, change, pairs, parts)
    return sides([str(part) for part in parts], *(work.scores(metric, o) for o in (False, True)))


def sides(parts: Sequence[str], base: Scores, organism: Scores) -> Sides:
    """The scores of both models, clean and triggered rows apart."""

    def half(rows: slice) -> Interchange:
        unmixed = (each.unmixed[rows] for each in (base, organism))
        return Interchange(
            tuple(parts), *unmixed, *(each.mixed[:, rows] for each in (base, organism))
        )

    n = len(base.unmixed) // 2
    return Sides(half(slice(0, n)), half(slice(n, 2 * n)))


def _variant(
    number: int, part: Part, change: Change, batch: Packed, shared: bool
) -> Variant | None:
    """Where a part's passes begin; None for one that is nowhere."""
    layers = [layer_of(name) for name in part.names(change)]
    columns = part.columns(batch.tokens).any(dim=0).nonzero()
    if not len(columns):
        return None
    inside = [layer for layer in layers if layer is not None]
    first = min(inside) if len(inside) == len(layers) else 0
    return Variant(number, *((first, int(columns[0])) if shared else (0, 0)))


@torch.no_grad()
def _packs(runner: Runner, batch: Packed, pairs: Pairs) -> bool:
    """Whether a packed run has the logits of plain passes, as far as the fast path has them."""
    both = pairs.clean, pairs.triggered
    plain = [runner.forward(whole(side), keep=side.keep).logits for side in both]
    there = run_packed(runner, batch).logits.float().log_softmax(dim=-1)
    gap = there - torch.cat(plain).float().log_softmax(dim=-1)
    return float(gap.abs().max()) <= fast_path(runner).tolerance


def _require_fit(hf_model: nn.Module, change: Change) -> None:
    require_plain(hf_model, "interchange")
    modules = dict(hf_model.named_modules())
    for name, part in change.items():
        size = (part.up.shape[0], part.down.shape[1])
        module = modules.get(name)
        if not isinstance(module, nn.Linear) or tuple(module.weight.shape) != size:
            raise UserError(
                f"interchange: expected a base model with a matrix {name} of {size}, got another; "
                "is the change of this base?"
            )
