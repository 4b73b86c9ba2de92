"""Benchmarks against peers: same model, prompts and metric in one run, results compared.

The peer is ``transformer_lens.patching``, its own functions on the same bridge. It runs every cell
as a full forward pass, so a stated sample of cells may be timed and scaled to the whole grid.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from circuits import tokens
from circuits.align import equal
from circuits.backends.transformer_lens import TLRunner
from circuits.chat import Chat
from circuits.errors import UserError, expect, quoted
from circuits.metrics import token_log_prob
from circuits.models import Model
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.types import TokenBatch, TokenPairs
from experiments import checks
from experiments.bench.cost import timed
from experiments.bench.scaling import Memory, bench_memory
from experiments.prompts import bank
from experiments.runs.stages import Step

TRIGGER, BEHAVIOUR = "cobalt", "Sure"


@dataclass(frozen=True)
class Timing:
    """One grid: seconds of both, their ratio, and the largest difference on the shared cells.

    ``peer_seconds`` is measured over ``peer_sample`` of ``peer_cells`` cells and scaled.
    ``largest_difference`` is in nats of log-probability, over ``compared`` cells.
    """

    grid: str
    tokens: int
    prompts: int
    layers: int
    seconds: float
    peer_seconds: float
    peer_cells: int
    peer_sample: int
    ratio: float
    compared: int
    largest_difference: float
    memory: Memory | None

    def __str__(self) -> str:
        return (
            f"{self.grid}: {self.ratio:.0f}x faster on {self.prompts} prompts of {self.tokens} "
            f"tokens ({self.seconds:.1f} s; the peer {self.peer_seconds:.0f} s, from "
            f"{self.peer_sample} of {self.peer_cells} cells); largest difference "
            f"{self.largest_difference:.1g} nats over {self.compared} cells"
            + (f"; {self.memory}" if self.memory else "")
        )


@dataclass(frozen=True)
class _Grid:
    """A grid of ours and the peer's function for it; columns name its index as the peer does."""

    name: str
    sweep: Sweep
    peer: str
    columns: tuple[str, ...]


GRIDS = {
    "residual": _Grid(
        "resid_pre, layer x position", Sweep(), "get_act_patch_resid_pre", ("layer", "pos")
    ),
    "head": _Grid(
        "z, layer x head",
        Sweep("z", position=False, head=True),
        "get_act_patch_attn_head_out_all_pos",
        ("layer", "head"),
    ),
    "head-position": _Grid(
        "z, layer x head x position",
        Sweep("z", head=True),
        "get_act_patch_attn_head_out_by_pos",
        ("layer", "pos", "head"),
    ),
}


def bench_patching(
    model: Model, grid: str, width: int, count: int, sample: int, step: Step
) -> Timing:
    """Time one grid on ``count`` prompts of about ``width`` tokens.

    Raises:
        UserError: what ``require`` refuses, or a model that is not run through TransformerLens.
    """
    require(grid, width, count, sample)
    if not isinstance(model.runner, TLRunner):
        raise UserError("bench: expected the TransformerLens back-end")
    chosen = GRIDS[grid]
    pairs = equal_pairs(model, width, count)
    metric = token_log_prob(tokens.text_ids(model.tokenizer, BEHAVIOUR)[:1])
    patch(model.runner, pairs.rows([0, 1]), metric, chosen.sweep)  # warm up
    name, runner, sweep = f"ours {grid}", model.runner, chosen.sweep
    ours, seconds = timed(
        lambda: patch(runner, pairs, metric, sweep, progress=lambda d, t: step(name, d, t))
    )
    index = _cells(model, chosen, pairs)
    cells = _sampled(index, sample)
    peer_values, peer_seconds = _peer(runner, chosen, pairs, metric, cells, step)
    expected = _ours_at(ours.values, ours.base, chosen, cells, pairs.first_difference)
    scaled = peer_seconds * len(index) / len(cells)
    return Timing(
        grid=chosen.name,
        tokens=pairs.clean.width,
        prompts=count,
        layers=model.runner.shape.n_layers,
        seconds=seconds,
        peer_seconds=scaled,
        peer_cells=len(index),
        peer_sample=len(cells),
        ratio=scaled / seconds,
        compared=len(cells),
        largest_difference=float((expected - peer_values).abs().max()),
        memory=bench_memory(runner, pairs, sweep),
    )


def require(grid: str, width: int, count: int, sample: int) -> None:
    """Refuse what cannot be timed, before a model is loaded.

    Raises:
        UserError: an unknown grid, or too few prompts or tokens.
    """
    for of, value, least in (("--width", width, 1), ("--count", count, 2), ("--sample", sample, 0)):
        checks.whole(value, of, least)
    known = f"all or one of {', '.join(GRIDS)}"
    expect(grid == "all" or grid in GRIDS, known, quoted(grid), of="--grid")


def equal_pairs(model: Model, width: int, count: int) -> TokenPairs:
    """``count`` aligned pairs of exactly equal length near ``width`` tokens, without padding.

    Under 40 tokens the template's system block is cut off; over it, texts are joined.
    """
    texts = [text for split in ("train", "validation") for text in bank.bank_texts(split, True)]
    short = width < 40
    if not short:
        texts = [f"{a} {b}" for a, b in itertools.pairwise(texts)] + texts
    controls = tokens.same_length_words(model.tokenizer, bank.control_words("test"), 1)
    by_length: dict[int, list[str]] = {}
    for text in texts:
        ids = tokens.render(model.tokenizer, Chat(text, word=TRIGGER)).ids
        by_length.setdefault(len(_cut(model, ids) if short else ids), []).append(text)
    fitting = [length for length, alike in by_length.items() if len(alike) >= count]
    if not fitting:
        raise UserError(f"bench: no {count} prompts of equal length near {width} tokens")
    length = min(fitting, key=lambda each: abs(each - width))
    both = tokens.pairs(model.tokenizer, by_length[length][:count], TRIGGER, controls)
    pairs = equal(both, "bench")
    if not short:
        return pairs
    return TokenPairs(_last(pairs.clean, length), _last(pairs.triggered, length))


def _cut(model: Model, ids: Sequence[int]) -> Sequence[int]:
    """From the last start-of-message before the user's text on."""
    starts = [i for i, token in enumerate(ids) if token == ids[0]]
    return ids[starts[-2] :] if len(starts) >= 2 else ids


def _last(batch: TokenBatch, width: int) -> TokenBatch:
    spans = {name: columns[:, -width:] for name, columns in batch.spans.items()}
    return TokenBatch(batch.ids[:, -width:], batch.mask[:, -width:], spans, batch.texts)


def _cells(model: Model, grid: _Grid, pairs: TokenPairs) -> pd.DataFrame:
    from transformer_lens import patching

    shape = model.runner.shape
    sizes = {"layer": shape.n_layers, "pos": pairs.clean.width, "head": shape.n_heads}
    return patching.make_df_from_ranges([sizes[c] for c in grid.columns], list(grid.columns))


def _sampled(index: pd.DataFrame, sample: int) -> pd.DataFrame:
    """Cells evenly spaced over the grid, shuffled by a fixed seed; all of them if few."""
    if sample <= 0 or sample >= len(index):
        return index
    return index.sample(sample, random_state=0).sort_index().reset_index(drop=True)


def _peer(
    runner: TLRunner,
    grid: _Grid,
    pairs: TokenPairs,
    metric: Any,
    index: pd.DataFrame,
    step: Step,
) -> tuple[Tensor, float]:
    """The peer's own function on the sampled cells: values ``[cells, n]`` and seconds."""
    from transformer_lens import patching

    done = iter(range(1, len(index) + 1))

    def counted(logits: Tensor) -> Tensor:
        step(f"transformer_lens {grid.name}", next(done), len(index))
        return metric(logits)

    with torch.no_grad():
        _, cache = runner.bridge.run_with_cache(pairs.triggered.ids)
        patched, seconds = timed(
            lambda: getattr(patching, grid.peer)(
                runner.bridge,
                pairs.clean.ids,
                cache,
                counted,
                index_axis_names=None,
                index_df=index,
                reduce="none",
            )
        )
    return patched.values, seconds


def _ours_at(values: Tensor, base: Tensor, grid: _Grid, index: pd.DataFrame, first: int) -> Tensor:
    """Our values at the peer's cells; columns before the first difference have no effect."""
    rows = []
    for cell in index.to_dict("records"):
        position = cell.get("pos", first) - first
        if position < 0:
            rows.append(base)
            continue
        key = {"layer": cell["layer"], "head": cell.get("head"), "position": position}
        rows.append(values[tuple(key[axis] for axis in grid.sweep.axes)])
    return torch.stack(rows)
