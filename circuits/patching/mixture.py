"""What training changed, switched on and off: module by module, and token by token.

A fine-tuned matrix is its base plus a change. ``Mixture`` runs the base with the change on in some
columns of some rows and off in all others, so base (off everywhere), organism (on everywhere) and
everything between are one model with one copy of the weights. ``interchange`` asks of every part
of the change what it does alone ("only these" in the base) and what is left without it ("all but
these" in the organism), exactly: no activation is moved, no direction is fitted.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from circuits.backends.fastpath import fast_path
from circuits.backends.hooks import Removable, hooked
from circuits.edits.adapters import Change, LowRank
from circuits.errors import UserError, expect
from circuits.metrics import checked
from circuits.patching.engine import finite, tokens_per_forward
from circuits.patching.suffix import SuffixRun, run_suffix
from circuits.runner import Output, Runner, Shape, Window
from circuits.types import Edit, Metric, Point, Progress, TokenBatch, quiet

_LAYER = re.compile(r"\.(\d+)\.")
# By the module's name: where its change is on; a module without a row is off everywhere.
Switches = Mapping[str, Bool[Tensor, "rows pos"]]


@dataclass(eq=False)
class Mixture:
    """A :class:`circuits.runner.Runner`: a base model with a change that is on in places.

    Attributes:
        runner: of the base, whose modules are left as they are.
        change: of its matrices, by the module's name.
        on: absolute columns of the batch in which a module's change is on, rows as in a window;
            fewer rows than a window has are those of whole blocks, as a past's.
    """

    runner: Runner
    change: Change
    on: Switches
    shape: Shape = field(init=False)
    hf_model: Any = field(init=False)

    def __post_init__(self) -> None:
        self.shape, self.hf_model = self.runner.shape, self.runner.hf_model

    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        """See :class:`circuits.runner.Runner`."""
        expect(not window.joining, "a window that no rows join", "one that some do", of="mixture")
        with hooked(self._handles(window)):
            return self.runner.forward(window, edits, record, keep, grow)

    def _handles(self, window: Window) -> Iterator[Removable]:
        modules = dict(self.hf_model.named_modules())
        for name, columns in self.on.items():
            here = columns[:, window.start : window.mask.shape[1]]
            if bool(here.any()):
                add = partial(_add, self.change[name], here)
                yield modules[name].register_forward_hook(add)


def _add(
    change: LowRank, on: Bool[Tensor, "rows pos"], _module: nn.Module, args: tuple, out: Tensor
) -> Tensor:
    (x,) = args
    on = repeat(on.to(x.device), "row pos -> (times row) pos 1", times=len(x) // len(on))
    down, up = change.down.to(x), change.up.to(x)
    return out + on * (x @ down.T @ up.T)


@dataclass(frozen=True)
class Part:
    """A part of a change: the modules of some layers, in the columns of some spans.

    Attributes:
        layers, modules: of the change; empty is all. A module is named by the last part of its
            name (``q_proj``).
        spans: of the prompts; empty is every column.
        elsewhere: every column but those of ``spans``.
    """

    layers: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    elsewhere: bool = False

    def names(self, change: Change) -> list[str]:
        """The modules that are meant, in the change's order.

        Raises:
            UserError: there are none.
        """
        names = [name for name in change if self._holds(name)]
        expect(names, "modules that the change has", f"none of {self}", of="interchange")
        return names

    def _holds(self, name: str) -> bool:
        inside = not self.layers or layer_of(name) in self.layers
        return inside and (not self.modules or name.rpartition(".")[2] in self.modules)

    def columns(self, tokens: TokenBatch) -> Bool[Tensor, "rows pos"]:
        """Where it is, in every row.

        Raises:
            UserError: the prompts have no such span.
        """
        there = torch.zeros_like(tokens.mask)
        for span in self.spans:
            known = sorted(tokens.spans)
            expect(span in tokens.spans, f"a span of {known}", span, of="interchange")
            there |= tokens.spans[span]
        return there != self.elsewhere if self.spans else torch.ones_like(tokens.mask)


def layer_of(name: str) -> int | None:
    """The layer that a module stands in; None for one outside of the blocks."""
    match = _LAYER.search(name)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Interchange:
    """A metric with parts of a change on or off, per example.

    Attributes:
        base, organism: with nothing and with everything on.
        only: with a part alone on, in the base.
        without: with all but a part on.
    """

    parts: tuple[Part, ...]
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
class _Variant:
    """A part in one of the two models, and where its passes may begin."""

    number: int
    part: Part
    layer: int
    column: int


@torch.no_grad()
def interchange(
    runner: Runner,
    change: Change,
    tokens: TokenBatch,
    parts: Sequence[Part],
    metric: Metric,
    *,
    keep: int = 1,
    progress: Progress = quiet,
) -> Interchange:
    """Score every part of a change alone, and everything without it.

    What lies below a part's first layer or before its first column is what it is in the unmixed
    run, and is not computed again where the model's fast path holds.

    Args:
        runner: of the base model.
        change: low-rank changes of its matrices, by name.
        keep: last columns that the metric sees.

    Raises:
        UserError: the model has no such matrix, or a part is not in the change or the prompts.
    """
    _require_fit(runner.hf_model, change)
    shared = fast_path(runner).holds
    every = {name: torch.ones_like(tokens.mask) for name in change}
    variants = _variants(runner, change, tokens, parts, shared)
    jobs = _jobs(variants, tokens, runner)
    scores: dict[bool, Tensor] = {}
    unmixed: dict[bool, Tensor] = {}
    for start, organism in enumerate((False, True)):
        free = Mixture(runner, change, every if organism else {})
        run = run_suffix(free, tokens, 0, keep=keep, shared=shared)
        unmixed[organism] = finite(checked(metric, run.logits), "interchange")
        values = unmixed[organism].repeat(len(parts), 1)
        for done, job in enumerate(jobs, 1):
            switches = _switches(change, tokens, job, organism)
            mixed = Mixture(runner, change, switches)
            out = mixed.forward(_window(run, job, shared), keep=keep)
            each = checked(metric, out.logits)
            numbers = [variant.number for variant in job]
            values[numbers] = rearrange(each, "(job n) -> job n", job=len(job)).to(values)
            progress(start * len(jobs) + done, 2 * len(jobs))
        scores[organism] = finite(values, "interchange")
    return Interchange(tuple(parts), unmixed[False], unmixed[True], scores[False], scores[True])


def _variants(
    runner: Runner, change: Change, tokens: TokenBatch, parts: Sequence[Part], shared: bool
) -> list[_Variant]:
    """Parts that are somewhere, by where their passes begin."""
    variants = []
    for number, part in enumerate(parts):
        layers = [layer_of(name) for name in part.names(change)]
        columns = part.columns(tokens).any(dim=0).nonzero()
        if not len(columns):
            continue
        inside = [layer for layer in layers if layer is not None]
        first = min(inside) if len(inside) == len(layers) else 0
        at = int(columns[0])
        variants.append(_Variant(number, part, *((first, at) if shared else (0, 0))))
    return sorted(variants, key=lambda v: (v.layer, v.column))


def _jobs(variants: Sequence[_Variant], tokens: TokenBatch, runner: Runner) -> list[list[_Variant]]:
    """Variants that begin at one place, in passes of a bearable size."""
    limit, jobs = tokens_per_forward(runner.shape), []
    for (_, column), group in groupby(variants, key=lambda v: (v.layer, v.column)):
        most = max(1, limit // (len(tokens) * (tokens.width - column)))
        alike = list(group)
        jobs += [alike[i : i + most] for i in range(0, len(alike), most)]
    return jobs


def _switches(
    change: Change, tokens: TokenBatch, job: Sequence[_Variant], organism: bool
) -> dict[str, Tensor]:
    """Where each module's change is on, the job's variants below each other."""
    rows = torch.full((len(job), *tokens.mask.shape), organism)
    on = {name: rows.clone() for name in change}
    for i, variant in enumerate(job):
        columns = variant.part.columns(tokens)
        for name in variant.part.names(change):
            on[name][i] ^= columns
    return {name: rearrange(each, "job n pos -> (job n) pos") for name, each in on.items()}


def _window(run: SuffixRun, job: Sequence[_Variant], shared: bool) -> Window:
    """What the job's variants see: from where they begin on, if anything may be shared."""
    times: Callable[[Tensor], Tensor] = partial(
        repeat, pattern="n ... -> (job n) ...", job=len(job)
    )
    ids, mask = times(run.tokens.ids), times(run.tokens.mask)
    if not shared:
        return Window(ids, mask)
    layer, column = job[0].layer, job[0].column
    resid = times(run.resid[layer][:, column:])
    return Window(ids[:, column:], mask, run.before(column), resid, layer)


def _require_fit(hf_model: Any, change: Change) -> None:
    modules = dict(hf_model.named_modules())
    for name, part in change.items():
        size = (part.up.shape[0], part.down.shape[1])
        module = modules.get(name)
        if not isinstance(module, nn.Linear) or tuple(module.weight.shape) != size:
            raise UserError(
                f"interchange: expected a base model with a matrix {name} of {size}, got another; "
                "is the change of this base?"
            )
