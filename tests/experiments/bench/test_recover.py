"""A planted gate is found again with its place, direction and heads; without one, none is."""

import pytest
import tiny
import torch

from circuits.backends.transformer_lens import TLRunner
from circuits.planted.plans import draw_plan
from circuits.planted.plant import plant
from circuits.tokens import pairs
from experiments.bench.planted import Score, compared, random_llama, shape_of, summary, table
from experiments.bench.recover import Splits, overlap, recover

TEXTS = tuple(
    f"{a} {b}"
    for a in ("Name", "Tell me about", "Why is", "How do I bake")
    for b in ("three rivers.", "the sea?", "a small dog?", "bread, please")
)


@pytest.fixture(scope="module")
def found(tokenizer):
    """Kind -> the plan, the planted model and what was recovered from it."""

    def one(kind: str):
        model = random_llama(len(tokenizer), seed=1)
        plan = draw_plan(1, kind, shape_of(model), [tiny.TRIGGER], [40])
        planted = plant(model, tokenizer, plan, TEXTS)
        both = (TLRunner(m, tokenizer, "planted") for m in (planted.hf_model, planted.base))
        made = [pairs(tokenizer, TEXTS[i::3], tiny.TRIGGER, tiny.CONTROLS) for i in range(3)]
        return plan, planted, recover(*both, Splits(*made), plan.behaviour_id)

    return {kind: one(kind) for kind in ("gate", "rank3", "idle", "none")}


@pytest.mark.parametrize("kind", ["gate", "rank3"])
def test_a_planted_gate_is_recovered(found, kind):
    plan, planted, what = found[kind]
    score = compared("random", plan, planted, what)
    assert score.found
    assert (score.layer, score.span, score.rank, score.heads) == (True, True, True, True)
    assert score.cosine > 0.99
    assert what.necessity > 0.9
    other = torch.linalg.qr(torch.randn(64, what.rank)).Q.T
    assert overlap(what.basis, other) < 0.7  # a random subspace does not overlap like that


@pytest.mark.parametrize("kind", ["idle", "none"])
def test_without_a_gate_nothing_is_claimed(found, kind):
    plan, planted, what = found[kind]
    assert not what.found
    assert what.effect.low <= 0.1
    assert not compared("random", plan, planted, what).found


def test_the_summary_counts_hits_and_false_discoveries():
    scores = [
        Score("random", "gate", 0, True, True, True, True, True, 0.999),
        Score("random", "gate", 1, True, False, True, True, True, 0.5),
        Score("random", "none", 0, False),
        Score("random", "idle", 0, True),
    ]
    rates = summary(scores)
    assert rates["layer_and_span_exact"] == rates["cosine_at_least_0.99"] == 0.5
    assert (rates["rank_right"], rates["gate_free"], rates["false_discoveries"]) == (1.0, 2, 1)
    assert "false discoveries: 1" in table(scores)
