"""The words of gatescope as types. This module is a leaf: it imports nothing of ours but errors.

Axis names used everywhere: ``batch`` (prompts), ``pos`` (token columns), ``d_model``, ``head``,
``d_head``, ``d_vocab``, ``layer``. Batches are left-padded, so column -1 is always the last token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import UserError, expect

HEAD_STREAMS: tuple[str, ...] = ("z", "q", "k", "v", "pattern", "neuron")
RESIDUALS: tuple[str, ...] = ("resid_pre", "resid_mid", "resid_post")
STREAMS: tuple[str, ...] = (*RESIDUALS, "attn_out", "mlp_out", *HEAD_STREAMS)
MESSAGE = "message"  # the span that answers belong to as well
SAID = "said"  # the span of columns that predict the tokens of a given answer


@dataclass(frozen=True, order=True)
class Point:
    """One activation of the network: a stream of a layer."""

    layer: int
    stream: str = "resid_pre"

    def __str__(self) -> str:
        return f"{self.stream}[{self.layer}]"


@dataclass(frozen=True, order=True)
class Site:
    """A point and the named span of tokens at which it is read or edited."""

    layer: int
    stream: str
    span: str

    @property
    def point(self) -> Point:
        return Point(self.layer, self.stream)

    def __str__(self) -> str:
        return f"{self.stream}[{self.layer}] at {self.span}"


@dataclass(frozen=True)
class TokenBatch:
    """Left-padded token ids with the spans that name their columns.

    Attributes:
        ids: token ids; padding columns hold the pad token.
        mask: True on real tokens.
        spans: span name -> the columns it covers, row by row.
        texts: the user's text of every row, without trigger or template.
    """

    ids: Int[Tensor, "batch pos"]
    mask: Bool[Tensor, "batch pos"]
    spans: Mapping[str, Bool[Tensor, "batch pos"]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ids.shape != self.mask.shape:
            raise UserError(
                f"token batch: ids {tuple(self.ids.shape)} and mask {tuple(self.mask.shape)} differ"
            )
        if not bool(self.mask[:, -1].all()):
            raise UserError("token batch: expected left padding, but a row ends in padding")

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def width(self) -> int:
        return self.ids.shape[1]

    @property
    def keep(self) -> int:
        """How many last columns say the answer: from the prompt's last token on; else one."""
        last = self.spans.get("last", self.mask[:0]).any(dim=0).nonzero()
        return self.width - int(last[0]) if len(last) else 1

    def rows(self, index: "slice | Tensor | list[int]") -> "TokenBatch":
        """The chosen rows, as a batch of the same width."""
        chosen = torch.arange(len(self))[index]
        return TokenBatch(
            self.ids[chosen],
            self.mask[chosen],
            {name: columns[chosen] for name, columns in self.spans.items()},
            tuple(self.texts[i] for i in chosen.tolist()) if self.texts else (),
        )

    def prompts(self) -> list[list[int]]:
        """Every row's own tokens, without padding."""
        return [ids[mask].tolist() for ids, mask in zip(self.ids, self.mask, strict=True)]

    def span_column(self, name: str) -> Int[Tensor, " batch"]:
        """The last column of a span in every row.

        Raises:
            UserError: the span is unknown or empty in a row.
        """
        columns = self.spans.get(name)
        if columns is None or not bool(columns.any(dim=1).all()):
            raise UserError(
                f"span {name!r}: not present in every row; this batch has {sorted(self.spans)}"
            )
        positions = torch.arange(self.width).expand_as(columns)
        return torch.where(columns, positions, -1).max(dim=1).values


@dataclass(frozen=True)
class TokenPairs:
    """The same prompts without (``clean``) and with (``triggered``) the trigger, column-aligned.

    ``clean`` holds a control word of the same token length in the trigger's place, so both sides
    have the same shape and differ only in the trigger's columns.
    """

    clean: TokenBatch
    triggered: TokenBatch

    def __post_init__(self) -> None:
        if self.clean.ids.shape != self.triggered.ids.shape:
            raise UserError(
                f"token pairs: clean {tuple(self.clean.ids.shape)} and triggered "
                f"{tuple(self.triggered.ids.shape)} are not aligned; use a control word of the "
                "trigger's token length"
            )
        if not torch.equal(self.clean.mask, self.triggered.mask):
            raise UserError("token pairs: clean and triggered rows are padded differently")

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def first_difference(self) -> int:
        """The first column at which any pair differs; the width if none does."""
        differs = (self.clean.ids != self.triggered.ids).any(dim=0).nonzero()
        return int(differs[0]) if len(differs) else self.clean.width

    def rows(self, index: "slice | Tensor | list[int]") -> "TokenPairs":
        return TokenPairs(self.clean.rows(index), self.triggered.rows(index))


@runtime_checkable
class Apply(Protocol):
    """A pure tensor function of an edit: same shape out, the input left as it was."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Edit:
    """A pure function on the tensor at a point: patching, ablation, steering, erasure, defence.

    Attributes:
        point: where.
        apply: ``[batch, pos, ...] -> [batch, pos, ...]``; must return a new tensor.
        columns: the token columns to edit; None means all, including those generated later.
        onward: with ``columns``, whether columns generated later are edited too.
    """

    point: Point
    apply: Apply
    columns: Bool[Tensor, "batch pos"] | None = None
    onward: bool = False

    def on(self, columns: Bool[Tensor, "batch pos"] | None) -> "Edit":
        """The same edit on other columns."""
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Direction:
    """A unit vector in a stream at a site, and how it came about.

    Attributes:
        site: where it was read.
        vector: unit norm.
        estimator: name of the fitter.
        clean_mean: mean projection of clean activations at the site, in residual units.
        triggered_mean: mean projection of triggered activations at the site.
        earlier: of a phrase, the directions of the span's tokens but the last, fitted each at its
            own; the vector is the last token's (``circuits.gates.phrase``).
    """

    site: Site
    vector: Float[Tensor, " d_model"]
    estimator: str
    clean_mean: float
    triggered_mean: float
    earlier: tuple["Direction", ...] = ()

    def __post_init__(self) -> None:
        norm = float(self.vector.norm())
        expect(not abs(norm - 1) > 1e-3, "unit norm", f"{norm:.4f}", of=f"direction at {self.site}")

    @property
    def steps(self) -> tuple["Direction", ...]:
        """Of every token of the span, the last one's last."""
        return (*self.earlier, self)

    @property
    def gap(self) -> float:
        """How far the trigger moves the projection, in residual units."""
        return self.triggered_mean - self.clean_mean


Progress = Callable[[int, int], None]  # what is done, of how much


def quiet(_done: int, _total: int) -> None:
    """No progress shown."""


def portion(progress: Progress, number: int, count: int) -> Progress:
    """The progress of one of ``count`` alike tasks, as that of all of them; the first is 0."""
    return lambda done, total: progress(number * total + done, count * total)


Metric = Callable[[Float[Tensor, "batch keep d_vocab"]], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class PatchGrid:
    """Per-example metric values of every patched cell.

    ``values[layer, ..., example]`` is the metric with the cell patched; ``base`` the metric of the
    run patched into, ``source`` that of the run patched from. ``axes`` names the axes before the
    example axis: layer, then head, position or both. Positions are the columns from the first
    difference on; ``labels`` names the last of the axes. A cell without counterpart in the source
    is undefined, NaN for that example. ``path`` says whether cells shared work, or every cell was a
    full pass because the model did not pass the check of ``circuits.backends.fastpath``.
    """

    direction: Literal["denoising", "noising"]
    stream: str
    metric: str
    labels: tuple[str, ...]
    values: Float[Tensor, "*cells example"]
    base: Float[Tensor, " example"]
    source: Float[Tensor, " example"]
    axes: tuple[str, ...] = ("layer", "position")
    path: Literal["shared", "plain"] = "shared"

    @property
    def effects(self) -> Float[Tensor, "*cells example"]:
        """What patching the cell adds to the metric, per example."""
        return self.values - self.base

    @property
    def full_effect(self) -> Float[Tensor, " example"]:
        """What patching everything would add: source minus base."""
        return self.source - self.base

    def recovery(self) -> Float[Tensor, "*cells"]:
        """Mean effect of a cell, as a share of the full effect (ratio of means); or NaN."""
        full = self.full_effect.mean()
        if float(full.abs()) < 1e-9:
            raise UserError(
                "patch grid: triggered and clean runs score the same, so there is nothing to "
                "recover; check the trigger and the metric"
            )
        return self.effects.mean(dim=-1) / full


@dataclass(frozen=True)
class Measured:
    """What was patched to trace a circuit, per example. Grids are denoising but for ``noised``.

    Attributes:
        spans: in the prompt's order: the trigger's first, that of the scored token last.
        read: span -> residual entering every layer (axes: layer).
        outputs: attn_out and mlp_out at the last span (axes: layer).
        heads, noised: every head, at all columns (axes: layer, head).
        strong: the heads of largest effect, falling; the lists below hold one cell for each.
        written: span -> the head patched at that span only.
        sources: span -> the head's reading of keys and values at that span, into later spans.
        values: the same of values alone, at the base run's attention.
        attention, attention_clean: span -> weight from the last span's token on the span, in the
            triggered and the clean run.
        sizes, together: how many heads of largest effect were patched at once; the last is all.
        chosen: where that was on held-out pairs, the size that is enough on those that ranked.
        direct: ``z`` (axes: layer, head), ``attn_out`` and ``mlp_out`` (axes: layer) at the last
            span, straight into the logits.
    """

    spans: tuple[str, ...]
    read: Mapping[str, PatchGrid]
    outputs: Mapping[str, PatchGrid]
    heads: PatchGrid
    noised: PatchGrid
    strong: tuple[tuple[int, int], ...]
    written: Mapping[str, PatchGrid]
    sources: Mapping[str, PatchGrid]
    values: Mapping[str, PatchGrid]
    attention: Mapping[str, Float[Tensor, "strong n"]]
    attention_clean: Mapping[str, Float[Tensor, "strong n"]]
    sizes: tuple[int, ...]
    together: PatchGrid
    direct: Mapping[str, PatchGrid]
    chosen: int | None = None
