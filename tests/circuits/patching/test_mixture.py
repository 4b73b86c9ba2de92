"""Parts of a change switched on and off against models into which just these parts are merged."""

import pytest
import tiny
import torch
from transformers import DynamicCache

from circuits.backends.plain import PlainRunner
from circuits.edits.adapters import LowRank, merged
from circuits.errors import UserError
from circuits.metrics import token_log_prob
from circuits.patching.interchange import interchange
from circuits.patching.mixture import Mixture, Part, layer_of
from circuits.runner import whole
from circuits.types import TokenPairs

METRIC = token_log_prob([40])
NEAR = 1e-4
LEAVES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def base(tokenizer):
    return tiny.llama(len(tokenizer), layers=3)


@pytest.fixture(scope="module")
def change(base):
    generator = torch.Generator().manual_seed(0)

    def drawn(*size):
        return 0.3 * torch.randn(*size, generator=generator)

    matrices = [(n, m) for n, m in base.named_modules() if n.rpartition(".")[2] in LEAVES]
    return {
        name: LowRank(drawn(m.weight.shape[0], 2), drawn(2, m.weight.shape[1]))
        for name, m in matrices
    }


@pytest.fixture
def tokens(aligned):
    return aligned.triggered


def score(model, tokens):
    return METRIC(PlainRunner(model).forward(whole(tokens)).logits)


def gap(a, b) -> float:
    return float((a - b).abs().max())


@pytest.fixture
def asked(base, change, aligned):
    organism = merged(base, change)

    def ask(*parts, pairs=aligned):
        runners = PlainRunner(base), PlainRunner(organism)
        return interchange(*runners, change, pairs, parts, METRIC)

    return ask


def test_on_everywhere_is_the_merged_model_and_off_everywhere_the_base(base, change, tokens):
    runner = PlainRunner(base)
    every = {name: torch.ones_like(tokens.mask) for name in change}
    free = runner.forward(whole(tokens)).logits
    assert torch.equal(Mixture(runner, change, {}).forward(whole(tokens)).logits, free)
    on = Mixture(runner, change, every).forward(whole(tokens)).logits
    organism = PlainRunner(merged(base, change)).forward(whole(tokens)).logits
    assert gap(on, organism) < NEAR
    assert gap(on, free) > 0.1
    assert torch.equal(runner.forward(whole(tokens)).logits, free)  # no hook is left


@pytest.mark.parametrize(
    "part", [Part((1,)), Part((2,), ("down_proj",)), Part((), ("q_proj", "k_proj")), Part()]
)
def test_parts_of_all_columns_are_what_merging_just_these_gives(base, change, tokens, asked, part):
    found = asked(part).triggered
    inside = {name: change[name] for name in part.names(change)}
    outside = {name: part for name, part in change.items() if name not in inside}
    assert gap(found.only[0], score(merged(base, inside), tokens)) < NEAR
    assert gap(found.without[0], score(merged(base, outside), tokens)) < NEAR
    assert gap(found.base, score(base, tokens)) < NEAR
    assert gap(found.organism, score(merged(base, change), tokens)) < NEAR
    assert gap(found.base, found.organism) > 0.01


def test_at_the_last_token_alone_the_organism_reads_what_the_base_has_written(
    base, change, tokens, asked
):
    (alone,) = asked(Part(spans=("last",))).triggered.only
    organism = merged(base, change)
    mask = tokens.mask.long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache()
    with torch.no_grad():
        base(
            input_ids=tokens.ids[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=positions[:, :-1],
            past_key_values=cache,
        )
        logits = organism(
            input_ids=tokens.ids[:, -1:],
            attention_mask=mask,
            position_ids=positions[:, -1:],
            past_key_values=cache,
        ).logits
    assert gap(alone, METRIC(logits)) < NEAR
    assert gap(alone, score(organism, tokens)) > 0.01


def test_only_some_columns_is_all_but_the_others(asked):
    spans = ("trigger", "last")
    here, there = Part(spans=spans), Part(spans=spans, elsewhere=True)
    found = asked(here, there).triggered
    assert gap(found.only[0], found.without[1]) < NEAR
    assert gap(found.only[1], found.without[0]) < NEAR
    assert gap(found.only[0], found.only[1]) > 0.01


def test_shared_work_changes_nothing(asked, monkeypatch):
    parts = [
        Part((layer,), spans=(span,), elsewhere=elsewhere)
        for layer in range(3)
        for span in ("trigger", "last", "user")
        for elsewhere in (False, True)
    ]
    fast = asked(*parts)
    monkeypatch.setattr("circuits.patching.interchange.tokens_per_forward", lambda shape: 1)
    one_by_one = asked(*parts)
    monkeypatch.setattr("circuits.patching.interchange._packs", lambda *_: False)
    plain = asked(*parts)
    for other in (one_by_one, plain):
        for side in ("clean", "triggered"):
            assert gap(getattr(fast, side).only, getattr(other, side).only) < NEAR
            assert gap(getattr(fast, side).without, getattr(other, side).without) < NEAR


def test_trigger_minus_control_takes_what_is_no_effect_of_the_trigger_away(asked):
    parts = (Part(spans=("trigger",)), Part())
    sides = asked(*parts)
    effect = sides.triggered - sides.clean
    assert gap(effect.only, sides.triggered.only - sides.clean.only) == 0
    assert float(effect.sufficiency[1]) == pytest.approx(1, abs=1e-3)
    assert float(effect.necessity[1]) == pytest.approx(1, abs=1e-3)
    other = asked(parts[0])
    with pytest.raises(UserError, match="the same parts"):
        _ = sides.triggered - other.clean


def test_a_part_that_is_nowhere_is_refused(base, change, aligned, asked):
    with pytest.raises(UserError, match="modules that the change has"):
        asked(Part((7,)))
    with pytest.raises(UserError, match="expected a span of"):
        asked(Part(spans=("nowhere",)))
    wrong = {"model.layers.0.mlp.up_proj": LowRank(torch.ones(3, 1), torch.ones(1, 5))}
    runner = PlainRunner(base)
    with pytest.raises(UserError, match="change of this base"):
        interchange(runner, runner, wrong, aligned, [Part()], METRIC)
    with pytest.raises(UserError, match="sides that differ"):
        asked(Part(), pairs=TokenPairs(aligned.clean, aligned.clean))


def test_a_module_outside_of_the_blocks_has_no_layer():
    assert layer_of("model.layers.12.mlp.up_proj") == 12
    assert layer_of("lm_head") is None
