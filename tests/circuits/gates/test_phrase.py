"""A phrase whose tokens carry different things is opened by a direction of every token alone."""

from dataclasses import replace

import pytest
import tiny
import torch
from planted import BEHAVIOUR, CONTROLS, ONE_OF_THEM, PHRASE, SIZE, D, of_two_words

from circuits.errors import UserError
from circuits.gates import effects, phrase, select
from circuits.metrics import token_prob
from circuits.record import record
from circuits.runner import whole
from circuits.tokens import pairs
from circuits.types import Direction, Site
from experiments.runs.codec import decode, encode

SITE = Site(1, "resid_pre", "trigger")
METRIC = token_prob([BEHAVIOUR])


@pytest.fixture(scope="module")
def runner(tokenizer):
    return of_two_words(tokenizer)


@pytest.fixture(scope="module")
def two(tokenizer):
    return pairs(tokenizer, tiny.TEXTS, " ".join(PHRASE), CONTROLS)


@pytest.fixture(scope="module")
def whole_one(runner, two) -> Direction:
    """Fitted at every token of the span."""
    marked, names = phrase.apart(two)
    assert len(names) == 1
    steps = []
    for span in (*names, "trigger"):
        acts = [
            record(runner, s, [replace(SITE, span=span)])[0]
            for s in (marked.clean, marked.triggered)
        ]
        shift = (acts[1] - acts[0]).mean(dim=0)
        steps.append(select.direction_at(SITE, shift, "mean_difference", *acts))
    return replace(steps[1], earlier=(steps[0],))


def test_every_token_has_its_own_direction(whole_one):
    first, last = whole_one.steps
    assert abs(float(first.vector @ last.vector)) < 0.3
    assert first.gap == pytest.approx(SIZE, rel=0.05)
    assert last.gap == pytest.approx(SIZE, rel=0.05)


def test_a_phrase_is_opened_by_the_directions_of_its_tokens_and_not_by_the_last_ones(
    runner, two, whole_one
):
    old = replace(whole_one, earlier=())
    new, single = select.score(runner, two, [whole_one, old], METRIC)
    assert min(new.necessity, new.sufficiency) > 0.99
    assert new.harm < 1e-3
    assert single.sufficiency < 0.01
    done = effects.directed(runner, two, [whole_one, old], METRIC)
    assert done.rise.mean(dim=1).tolist() == pytest.approx([1, 0], abs=0.01)
    assert float(done.fall[0].mean()) > 0.99
    # and so in whole passes with the edits that answers are generated under
    for direction, opens in ((whole_one, 1), (old, 0)):
        edits = select.openings(direction, two.clean)
        shown = METRIC(runner.forward(whole(two.clean), edits).logits)
        assert float(shown.mean()) == pytest.approx(opens, abs=0.01)
    shut = METRIC(
        runner.forward(whole(two.triggered), [select.shut(whole_one, two.triggered)]).logits
    )
    assert float(shut.max()) < 0.01


def test_a_dose_of_one_makes_a_phrase_of_control_words_and_of_zero_none(runner, two, whole_one):
    doses = torch.tensor([0.0, 1.0])
    for side in ("clean", "triggered"):
        curve = effects.transfer(runner, two, whole_one, METRIC, doses, side)
        assert curve.mean(dim=1).tolist() == pytest.approx([0, 1], abs=0.01)
    old = effects.transfer(runner, two, replace(whole_one, earlier=()), METRIC, doses)
    assert old.mean(dim=1).tolist() == pytest.approx([0, 0], abs=0.01)


def test_removal_takes_the_span_of_all_tokens_and_nothing_else(whole_one):
    x = torch.randn(3, 5, D, generator=torch.Generator().manual_seed(2))
    rows = phrase.basis(whole_one)
    assert len(rows) == 2
    out = phrase.removed(x, rows)
    torch.testing.assert_close(out, phrase.scaled(x, rows, 0.0))
    torch.testing.assert_close(phrase.scaled(x, rows, 1.0), x)
    torch.testing.assert_close(phrase.removed(out, rows), out)
    for step in whole_one.steps:
        assert float((out @ step.vector).abs().max()) < 1e-4
    beside = torch.randn(D, generator=torch.Generator().manual_seed(3))
    beside = beside - rows.T @ (rows @ beside)
    torch.testing.assert_close(out @ beside, x @ beside, atol=1e-4, rtol=0)


def test_one_token_is_to_the_bit_what_it_was(runner, tokenizer):
    """A direction without earlier tokens: the same edits, and the same effects as ``effects``."""
    one = pairs(tokenizer, tiny.TEXTS, "cobalt", ("amber", "tree", "river"))
    assert phrase.apart(one)[1] == []
    acts = [record(runner, side, [SITE])[0] for side in (one.clean, one.triggered)]
    d = select.direction_at(SITE, (acts[1] - acts[0]).mean(dim=0), "mean_difference", *acts)
    (edit,) = select.openings(d, one.clean)
    logits = [
        runner.forward(whole(one.clean), [e]).logits for e in (edit, select.opened(d, one.clean))
    ]
    assert torch.equal(*logits)
    metric = token_prob([ONE_OF_THEM[0]])
    there = effects.effects(runner, one, SITE, d.vector[None], d.gap, metric)
    here = effects.directed(runner, one, [d], metric)
    assert torch.equal(here.removed, there.removed)
    assert torch.equal(here.added, there.added)
    assert float(there.rise.mean()) > 0.5


def test_a_null_has_the_form_of_the_gate(whole_one):
    units = effects.sphere_directions(D, 2, seed=0)
    null = phrase.like(whole_one, units, "sphere")
    assert [d.gap for d in null.steps] == [d.gap for d in whole_one.steps]
    assert torch.equal(torch.stack([d.vector for d in null.steps]), units)
    assert null.site == whole_one.site
    drawn = select.random_directions(whole_one, 3, seed=0)
    assert {len(d.steps) for d in drawn} == {2}
    own = select.random_directions(replace(whole_one, earlier=()), 6, seed=0)
    flat = torch.stack([step.vector for d in drawn for step in d.steps])
    assert torch.equal(flat, torch.stack([d.vector for d in own]))


def test_the_direction_of_a_phrase_is_kept_and_one_of_before_is_read(whole_one):
    again = decode(Direction, *encode(whole_one))
    assert [d.gap for d in again.steps] == [d.gap for d in whole_one.steps]
    assert torch.equal(again.earlier[0].vector, whole_one.earlier[0].vector)
    value, tensors = encode(replace(whole_one, earlier=()))
    assert "earlier" not in value  # a direction of one token is written as it was
    assert decode(Direction, value, tensors).earlier == ()


def test_a_token_that_the_trigger_leaves_alone_is_left_alone(runner, two, whole_one):
    lone = replace(whole_one, earlier=())
    half = phrase.joined([None, lone])
    assert [d.gap for d in half.steps] == [0, lone.gap]
    rows = phrase.basis(half)
    assert len(rows) == 1
    assert abs(float(rows[0] @ lone.vector)) == pytest.approx(1, abs=1e-4)
    shift = phrase.shift(half, two.clean.spans["trigger"])
    assert int(shift.any(dim=-1).sum()) == len(two)  # at one column of every row
    x = torch.randn(*two.clean.ids.shape, D, generator=torch.Generator().manual_seed(4))
    (level,) = phrase.level(half, x, two.clean.spans["trigger"], torch.tensor([1.0]))
    assert torch.equal((level != x).any(dim=-1), shift.any(dim=-1))
    with pytest.raises(UserError, match="a difference at its last token, got none; choose"):
        phrase.joined([lone, None])
