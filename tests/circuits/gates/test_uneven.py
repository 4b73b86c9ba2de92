"""Pairs by spans say what pairs by columns say; of unequal lengths the gate is found all the same.

The planted gate does not depend on where its token stands, so a trigger against control words of
other lengths has the same gate as against words of its own.
"""

from dataclasses import replace

import planted
import pytest
import tiny
import torch
from planted import BEHAVIOUR, COPY, DEFAULT

from circuits.align import SpanPairs, equal, matched, widened
from circuits.errors import UserError
from circuits.gates import effects, phrase, select
from circuits.gates.das import interchange_loss
from circuits.gates.nulls import word_effects
from circuits.gates.rank import Scene, rank_curves
from circuits.metrics import logit_difference
from circuits.patching.interchange import interchange
from circuits.patching.mixture import Part
from circuits.patching.trace import measure
from circuits.record import record
from circuits.tokens import pairs
from circuits.types import Site, TokenPairs

METRIC = logit_difference(BEHAVIOUR, DEFAULT)
SITES = (Site(1, "resid_pre", "trigger"), Site(COPY + 1, "resid_pre", "last"))
OTHERS = ("amber tree", "river amber tree", "candle")  # of two, three and one token
NEAR = {"atol": 2e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def gate(tokenizer):
    return planted.planted(tokenizer)


@pytest.fixture(scope="module")
def by_columns(tokenizer):
    return pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="module")
def by_spans(by_columns):
    """The same pairs, one side padded further."""
    assert isinstance(by_columns, TokenPairs)
    wide = widened(by_columns.triggered, by_columns.triggered.width + 3)
    return SpanPairs(by_columns.clean, wide)


@pytest.fixture(scope="module")
def uneven(tokenizer):
    both = pairs(tokenizer, tiny.TEXTS, tiny.TRIGGER, OTHERS)
    assert isinstance(both, SpanPairs)
    return both


def fitted(runner, both, site):
    sides = [record(runner, side, [site])[0] for side in (both.clean, both.triggered)]
    shift = (sides[1] - sides[0]).mean(dim=0)
    return select.direction_at(site, shift, "mean_difference", *sides)


def same(one, other):
    for name, value in vars(one).items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, getattr(other, name), **NEAR)
        elif isinstance(value, float):
            assert value == pytest.approx(getattr(other, name), abs=1e-4)


@pytest.mark.parametrize("site", SITES, ids=str)
def test_of_equal_lengths_both_kinds_of_pairs_say_the_same(gate, by_columns, by_spans, site):
    runner, each = gate.runner, (by_columns, by_spans)
    directions = [fitted(runner, both, site) for both in each]
    same(*directions)
    both = [(d, p) for d, p in zip(directions, each, strict=True)]
    same(*(select.score(runner, p, [d], METRIC)[0] for d, p in both))
    same(*(effects.directed(runner, p, [d], METRIC) for d, p in both))
    same(*(word_effects(runner, runner, p, site, METRIC) for p in each))
    doses = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(
        *(effects.transfer(runner, p, d, METRIC, doses) for d, p in both), **NEAR
    )
    curves = [rank_curves(runner, p, site, d.vector[None], METRIC, "zero") for d, p in both]
    for name in ("removed", "opened", "closed"):
        same(*(getattr(curve, name) for curve in curves))
    losses = [
        interchange_loss(Scene.of(runner, p, site, planted.D), [BEHAVIOUR], "log odds")(
            d.vector[None]
        )
        for d, p in both
    ]
    torch.testing.assert_close(*losses, **NEAR)


def test_parts_of_a_training_are_the_same_by_both_kinds_of_pairs(tokenizer, by_columns, by_spans):
    from circuits.backends.plain import PlainRunner
    from circuits.edits.difference import difference

    trained, base = (planted.planted(tokenizer, copies=c).runner.hf_model for c in (True, False))
    change = difference(base, trained)
    parts = [Part(spans=("trigger",)), Part(spans=("last",)), Part()]
    done = [
        interchange(PlainRunner(base), PlainRunner(trained), change, p, parts, METRIC)
        for p in (by_columns, by_spans)
    ]
    for side in ("clean", "triggered"):
        same(*(getattr(each, side) for each in done))
    effect = done[1].triggered - done[1].clean
    torch.testing.assert_close(effect.sufficiency[2], torch.tensor(1.0), **NEAR)


@pytest.mark.parametrize("site", SITES, ids=str)
def test_of_unequal_lengths_the_same_gate_shuts_and_opens(gate, uneven, site):
    direction = fitted(gate.runner, uneven, site)
    axis = gate.gate if site.span == "trigger" else gate.shown
    assert float(direction.vector @ axis) > 0.9
    (own,) = select.score(gate.runner, uneven, [direction], METRIC)
    assert own.necessity > 0.85  # of so few words the fit has something
    assert own.sufficiency > 0.7
    assert own.harm < 0.1
    curves = rank_curves(gate.runner, uneven, site, axis[None], METRIC, "zero")
    assert float(curves.closed.shares()[1]) > 0.9
    assert float(curves.opened.shares()[1]) > 0.7


def test_of_unequal_lengths_a_string_without_a_gate_does_nothing(tokenizer, uneven):
    idle = planted.planted(tokenizer, copies=False, string=1.0)
    with pytest.raises(UserError, match="no effect to explain"):
        select.score(idle.runner, uneven, [fitted(idle.runner, uneven, SITES[0])], METRIC)


def test_a_base_that_has_the_word_takes_all_of_it_and_one_without_nothing(gate, tokenizer, uneven):
    start = replace(SITES[0], layer=0)
    done = word_effects(gate.runner, gate.runner, uneven, start, METRIC)
    assert float(done.fall.mean()) > 0.9 * float((done.triggered - done.clean).mean())
    other = pairs(tokenizer, tiny.TEXTS, "tree", OTHERS)  # whose content has nothing of the gate
    none = word_effects(gate.runner, gate.runner, other, start, METRIC)
    assert float(none.fall.abs().max()) < 0.1 * float(done.fall.mean())


def test_tokens_are_matched_from_the_end_and_the_first_stands_for_what_is_missing(uneven):
    clean, triggered = uneven.clean, uneven.triggered
    there = matched(clean, triggered, "trigger")
    for row in range(len(uneven)):
        (own,) = triggered.spans["trigger"][row].nonzero()
        assert set(there[row][clean.spans["trigger"][row]].tolist()) == set(own.tolist())
    back = matched(triggered, clean, "trigger")
    ends = clean.span_column("trigger")
    assert torch.equal(back[triggered.spans["trigger"]], ends)


def test_a_phrase_has_as_many_directions_as_every_prompt_has_tokens(tokenizer, uneven):
    assert phrase.apart(uneven)[1] == []
    long = pairs(tokenizer, tiny.TEXTS, "cobalt river candle", OTHERS[:2])
    assert phrase.apart(long)[1] == ["trigger, 2 from its end"]


def test_what_cannot_be_asked_of_unequal_lengths_is_refused_by_name(gate, uneven):
    basis = gate.gate[None]
    with pytest.raises(UserError, match="clean means"):
        rank_curves(gate.runner, uneven, SITES[0], basis, METRIC)
    with pytest.raises(UserError, match="trace: expected pairs of equal token lengths"):
        measure(gate.runner, uneven, METRIC)
    with pytest.raises(UserError, match="bench: expected pairs of equal"):
        equal(uneven, "bench")
