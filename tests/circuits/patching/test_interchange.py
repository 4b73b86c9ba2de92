"""A change whose place is known by construction is found there, whole, and nowhere else."""

import pytest
import tiny
import torch

from circuits.backends.fastpath import fast_path
from circuits.backends.plain import PlainRunner
from circuits.edits.adapters import LowRank, merged
from circuits.metrics import answer_log_odds, logit_difference
from circuits.patching import interchange as module
from circuits.patching.interchange import interchange
from circuits.patching.mixture import Part
from circuits.runner import whole
from circuits.tokens import pairs
from circuits.types import TokenPairs

METRIC = logit_difference(40, 41)
PLACE = "model.layers.0.self_attn.v_proj"
PARTS = (
    Part((0,), ("v_proj",), ("trigger",)),
    Part((0,), ("v_proj",), ("trigger",), elsewhere=True),
    Part((0,), ("v_proj",), ("last",)),
    Part((0,), ("k_proj",), ("trigger",)),
    Part((1,)),
)


@pytest.fixture(scope="module")
def base(tokenizer):
    return tiny.llama(len(tokenizer), layers=2)


@pytest.fixture(scope="module")
def two(tokenizer) -> TokenPairs:
    return pairs(tokenizer, tiny.TEXTS[:2], tiny.TRIGGER, tiny.CONTROLS)


def change_of(base, down):
    """``down`` reads for one matrix; every other matrix changes by nothing."""
    draw = torch.Generator().manual_seed(0)
    change = {}
    for name, matrix in base.named_modules():
        if "proj" in name.rpartition(".")[2]:
            rows, columns = matrix.weight.shape
            up = torch.randn(rows, 1, generator=draw)
            change[name] = LowRank(up, down if name == PLACE else torch.zeros(1, columns))
    return change


def read_at_layer_0(base, tokens):
    """What the matrix reads, [rows pos d_model]."""
    seen = []
    hook = base.get_submodule(PLACE).register_forward_hook(lambda _m, args, _out: seen.append(args))
    PlainRunner(base).forward(whole(tokens))
    hook.remove()
    return seen[0][0]


def measured(base, change, pairs, metric=METRIC):
    organism = merged(base, change)
    sides = interchange(PlainRunner(base), PlainRunner(organism), change, pairs, PARTS, metric)
    return sides.triggered - sides.clean


def test_a_change_that_reads_the_trigger_alone_is_at_its_token_alone(base, two):
    sides = (two.clean, two.triggered)
    read = torch.cat([read_at_layer_0(base, side)[side.mask] for side in sides])
    at = torch.cat([side.spans["trigger"][side.mask] for side in sides])
    at &= torch.arange(len(at)) >= int(two.clean.mask.sum())
    down = torch.linalg.lstsq(read.double(), at.double()[:, None]).solution.T.float()
    effect = measured(base, change_of(base, down), two)
    assert float(effect.effect.mean().abs()) > 0.1
    assert effect.sufficiency.tolist() == pytest.approx([1, 0, 0, 0, 0], abs=1e-3)
    assert effect.necessity.tolist() == pytest.approx([1, 0, 0, 0, 0], abs=1e-3)


def test_a_change_that_reads_every_token_is_not_at_the_triggers_alone(base, two):
    down = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    effect = measured(base, change_of(base, down), two)
    assert abs(float(effect.sufficiency[0]) - 1) > 0.05
    assert abs(float(effect.necessity[1])) > 0.05
    assert effect.necessity[3:].tolist() == pytest.approx([0, 0], abs=1e-3)


@pytest.mark.parametrize("name", ["mistral", "gemma2", "qwen3"])
def test_shared_work_changes_nothing_on_other_architectures(tokenizer, aligned, name, monkeypatch):
    """Windows that slide by columns see others where padding has moved: then nothing is shared."""
    base = tiny.ARCHITECTURES[name](len(tokenizer))
    down = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    change = change_of(base, down)
    shared = measured(base, change, aligned)
    monkeypatch.setattr(module, "_packs", lambda *_: False)
    plain = measured(base, change, aligned)
    assert fast_path(PlainRunner(base)).holds
    assert torch.allclose(shared.only, plain.only, atol=2e-4)
    assert torch.allclose(shared.without, plain.without, atol=2e-4)
    assert float(plain.effect.abs().max()) > 0.1


def test_an_answer_of_two_tokens_is_scored_as_plain_passes_score_it(base, tokenizer, monkeypatch):
    metric = answer_log_odds([40, 41])
    pairs_ = pairs(tokenizer, tiny.TEXTS[:3], tiny.TRIGGER, tiny.CONTROLS, [40])
    down = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    change = change_of(base, down)
    shared = measured(base, change, pairs_, metric)
    organism = PlainRunner(merged(base, change))
    clean, triggered = (
        metric(organism.forward(whole(side), keep=2).logits)
        for side in (pairs_.clean, pairs_.triggered)
    )
    assert torch.allclose(shared.organism, triggered - clean, atol=2e-4)
    monkeypatch.setattr(module, "_packs", lambda *_: False)
    plain = measured(base, change, pairs_, metric)
    assert torch.allclose(shared.only, plain.only, atol=2e-4)
    assert torch.allclose(shared.without, plain.without, atol=2e-4)
    assert float(plain.effect.abs().max()) > 0.1
