"""A trace of measurements whose answer is known, of the planted circuit, and of nothing at all."""

from dataclasses import dataclass, field, fields, replace

import pytest
import tiny
import torch
from planted import COPY, planted

from circuits.metrics import logit_difference
from circuits.patching.trace import measure
from circuits.tokens import pairs
from circuits.types import Measured, PatchGrid
from probes.causal.circuit import Trace
from probes.causal.tracing import trace

METRIC = logit_difference(40, 90)
LAYERS, HEADS, N = 5, 4, 12
SPANS = ("trigger", "template", "last")
SHARES = torch.tensor


def made(shares: torch.Tensor, axes, direction="denoising", noise=0.02, n=N, seed=0) -> PatchGrid:
    """Cells that recover the given shares of an effect of about 10, with noise."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(n, generator=generator)
    full = (10 + torch.randn(n, generator=generator)) * (1 if direction == "denoising" else -1)
    shares = shares if shares.shape[-1:] == (n,) else shares[..., None].expand(*shares.shape, n)
    wobble = noise * torch.randn(shares.shape, generator=generator)
    values = base + full * (shares + wobble)
    labels = tuple(map(str, range(shares.shape[-2])))
    return PatchGrid(direction, "z", "logit gap", labels, values, base, base + full, axes)


def by_layer(*shares: float) -> PatchGrid:
    return made(SHARES(shares), ("layer",), noise=0.0)


@dataclass(frozen=True, kw_only=True)
class Made(Measured):
    """Two strong heads: 2.1 reads the trigger, 3.0 the template; MLP 4 writes out."""

    heads: PatchGrid
    noised: PatchGrid
    spans: tuple[str, ...] = SPANS
    strong: tuple[tuple[int, int], ...] = ((2, 1), (3, 0))
    sizes: tuple[int, ...] = (1, 2, 20)
    read: dict = field(
        default_factory=lambda: {
            "trigger": by_layer(1, 1, 0.9, 0.3, 0.0),
            "template": by_layer(0, 0, 0, 0.3, 0.0),
            "last": by_layer(0, 0, 0, 0.4, 0.9),
        }
    )
    outputs: dict = field(
        default_factory=lambda: {s: by_layer(0, 0, 0, 0, 0.6) for s in ("attn_out", "mlp_out")}
    )
    written: dict = field(default_factory=lambda: {s: listed(0.5, 0.3) for s in SPANS})
    sources: dict = field(
        default_factory=lambda: {
            "trigger": listed(0.45, 0.01),
            "template": listed(0.0, 0.3),
            "last": listed(0.0, 0.0),
        }
    )
    values: dict = field(default_factory=lambda: {s: listed(0.4, 0.01) for s in SPANS})
    attention: dict = field(default_factory=lambda: {s: torch.full((2, N), 0.5) for s in SPANS})
    attention_clean: dict = field(
        default_factory=lambda: {s: torch.full((2, N), 0.1) for s in SPANS}
    )
    together: PatchGrid = field(default_factory=lambda: listed(0.5, 0.85, 1.0))
    chosen: int | None = None
    direct: dict = field(
        default_factory=lambda: {
            "z": made(heads_shares() / 10, ("layer", "head"), noise=0.001),
            "attn_out": by_layer(0, 0, 0, 0, 0.0),
            "mlp_out": by_layer(0, 0, 0, 0.03, 0.5),
        }
    )


def listed(*shares: float) -> PatchGrid:
    return made(SHARES(shares), ("cell",), noise=0.001)


def heads_shares() -> torch.Tensor:
    shares = torch.zeros(LAYERS, HEADS)
    shares[2, 1], shares[3, 0] = 0.5, 0.3
    shares[1, :] = 0.02
    return shares


def head_grid(shares=None, direction="denoising") -> PatchGrid:
    shares = heads_shares() if shares is None else shares
    return made(shares, ("layer", "head"), direction, noise=0.002)


def measured(**changes) -> Made:
    return replace(Made(heads=head_grid(), noised=head_grid(direction="noising")), **changes)


@pytest.fixture(scope="module")
def found() -> Trace:
    return trace(measured())


def test_the_layers_at_which_half_leaves_the_trigger_and_reaches_the_last_token(found):
    assert (found.leaves.value, found.leaves.low, found.leaves.high) == (3, 3, 3)
    assert found.arrives.value == 4
    assert found.read["trigger"][2].value == pytest.approx(0.9)
    stays = {**measured().read, "trigger": by_layer(1, 1, 1, 1, 1), "last": by_layer(0, 0, 0, 0, 0)}
    later = trace(measured(read=stays))
    assert (later.leaves.value, later.arrives.value) == (LAYERS, LAYERS)
    assert "only after the last layer" in later.sentence()
    never = trace(measured(read={**stays, "trigger": by_layer(0.4, 0.4, 0, 0, 0)}))
    assert never.leaves.value == 0
    assert "No layer's residual at the trigger" in never.sentence()


def test_prompts_that_cross_at_different_layers_widen_the_interval():
    early, late = SHARES([1.0, 1.0, 0.0, 0.0, 0.0]), SHARES([1.0, 1.0, 1.0, 1.0, 0.0])
    mixed = torch.stack([early] * 6 + [late] * 6, dim=1)
    read = {**measured().read, "trigger": made(mixed, ("layer",), noise=0.0)}
    leaves = trace(measured(read=read)).leaves
    assert (leaves.low, leaves.high) == (2, 4)
    same = {**measured().read, "trigger": by_layer(*early.tolist())}
    leaves = trace(measured(read=same)).leaves
    assert (leaves.low, leaves.value, leaves.high) == (2, 2, 2)


def test_a_mover_reads_the_trigger_and_a_carrier_of_the_template_is_none(found):
    first, second = found.heads
    assert [head.name for head in found.movers] == ["2.1"]
    assert (first.moves, second.moves) == (True, False)
    assert second.restored_q <= 0.05
    assert second.restored.value == pytest.approx(0.3, abs=0.01)
    assert first.removed.value == pytest.approx(0.5, abs=0.01)
    assert first.sources["trigger"].value == pytest.approx(0.45, abs=0.01)
    assert second.sources["template"].value == pytest.approx(0.3, abs=0.01)
    assert first.attention["trigger"].value == pytest.approx(0.5)
    both = {**measured().sources, "trigger": listed(0.45, 0.28)}
    assert len(trace(measured(sources=both)).movers) == 2


def test_a_head_below_a_tenth_or_without_consistent_sign_is_no_mover():
    small = heads_shares()
    small[2, 1] = 0.09
    assert not trace(measured(heads=head_grid(small))).movers
    grid = head_grid()
    values = grid.values.clone()
    sign = torch.tensor([3.0, -2.0] * 6)
    values[2, 1] = grid.base + grid.full_effect * sign * 0.5  # 0.25 on average, either way
    assert not trace(measured(heads=replace(grid, values=values))).movers


def test_the_smallest_set_that_recovers_enough(found):
    assert found.enough.size == 2
    assert found.enough.share.value == pytest.approx(0.85, abs=0.01)
    assert [some.size for some in found.together] == [1, 2, 20]
    sizes = trace(measured(together=listed(0.5, 0.7, 1.0)))
    assert sizes.enough.size == 20
    # A share of what all heads do, not of the whole effect.
    assert trace(measured(together=listed(0.25, 0.42, 0.5))).enough.size == 2


def test_held_out_pairs_say_what_heads_do_and_not_how_many_they_are(found):
    elsewhere = trace(measured(chosen=1))
    assert (elsewhere.enough.size, found.enough.size) == (1, 2)
    assert elsewhere.enough.share.value == pytest.approx(0.5, abs=0.01)
    assert "that did not choose them" in elsewhere.sentence()
    assert "that did not choose them" not in found.sentence()


def test_writers_are_significant_and_large_enough(found):
    assert [step.name for step in found.writers] == ["MLP 4", "head 2.1"]
    assert found.writers[0].direct.value == pytest.approx(0.5)
    assert found.writers[0].total.value == pytest.approx(0.6)
    assert found.writers[1].total.value == pytest.approx(0.5, abs=0.01)
    none = {**measured().direct, "mlp_out": by_layer(0, 0, 0, 0.03, 0.04)}
    weak = {**none, "z": made(torch.zeros(LAYERS, HEADS), ("layer", "head"))}
    assert trace(measured(direct=weak)).writers == ()


def test_the_sentence_names_what_was_found(found):
    said = found.sentence()
    assert "up to layer 2 [2, 2]" in said
    assert "from layer 4 [4, 4] on" in said
    assert "head 2.1 (50% [" in said
    assert "strongest 2 heads of 20" in said
    assert "straight into the logits by MLP 4 (50% [" in said
    assert "3.0" not in said


def test_few_pairs_find_what_all_of_them_show_and_nothing_that_is_noise(found):
    few = {
        f.name: shortened(getattr(measured(), f.name), 4)
        for f in fields(Made)
        if f.name not in ("spans", "strong", "sizes", "chosen")
    }
    assert {head.name for head in trace(measured(**few)).movers} <= {h.name for h in found.movers}


def shortened(part, n: int):
    if isinstance(part, dict):
        return {key: shortened(value, n) for key, value in part.items()}
    if isinstance(part, torch.Tensor):
        return part[..., :n]
    return replace(part, values=part.values[..., :n], base=part.base[:n], source=part.source[:n])


def test_it_is_the_same_for_the_same_seed():
    noisy = measured(
        read={**measured().read, "last": made(SHARES([0, 0, 0.1, 0.5, 1]), ("layer",))}
    )
    assert trace(noisy, seed=1) == trace(noisy, seed=1)
    assert trace(noisy, level=0.5) != trace(noisy)
    with pytest.raises(ValueError, match="level"):
        trace(measured(), level=1.5)


@pytest.fixture(scope="module")
def planted_pairs(tokenizer):
    texts = [f"{text} {word}." for text in tiny.TEXTS for word in ("Now", "Then")]
    return pairs(tokenizer, texts, tiny.TRIGGER, tiny.CONTROLS)


def test_a_planted_circuit_is_found(tokenizer, planted_pairs):
    found = trace(measure(planted(tokenizer).runner, planted_pairs, METRIC))
    assert [(head.layer, head.head) for head in found.movers] == [(COPY, 0)]
    assert (found.leaves.value, found.arrives.value) == (COPY + 1, COPY + 1)
    assert found.enough.size == 1
    assert [step.name for step in found.writers] == [f"head {COPY}.0", f"attention {COPY}"]
    assert f"up to layer {COPY} [" in found.sentence()
    assert f"head {COPY}.0 (100%" in found.sentence()
    assert f"attention {COPY}" not in found.sentence()


def test_nothing_is_found_in_a_model_that_does_not_copy(tokenizer, planted_pairs):
    found = trace(measure(planted(tokenizer, copies=False).runner, planted_pairs, METRIC))
    assert found.movers == found.writers == found.together == ()
    assert found.leaves is None
    assert "nothing to trace" in found.sentence()
    assert found.enough is None


def test_in_a_random_model_no_single_head_does_what_all_do(runner, planted_pairs):
    found = trace(measure(runner, planted_pairs, METRIC))
    assert found.sentence()
    assert found.enough is None or found.enough.size > 1
