"""Random directions beside the planted gate, and beside nothing."""

import pytest
from planted import BEHAVIOUR, planted

from circuits.gates import select
from circuits.gates.effects import directed
from circuits.metrics import token_prob
from circuits.record import record
from circuits.types import Site, quiet
from experiments.analyze import randoms
from experiments.analyze.randoms import random_nulls

METRIC = token_prob([BEHAVIOUR])
SITE = Site(1, "resid_pre", "trigger")


@pytest.fixture(scope="module")
def model(tokenizer):
    return planted(tokenizer)


@pytest.fixture(scope="module")
def acts(model, aligned):
    return tuple(record(model.runner, s, [SITE])[0] for s in (aligned.clean, aligned.triggered))


@pytest.fixture(scope="module")
def found(model, acts):
    return select.direction_at(SITE, model.gate, "given", *acts)


def test_the_gate_is_first_among_all_directions_and_a_random_one_is_not(
    model, aligned, acts, found
):
    both = random_nulls(model.runner, aligned, found, acts, METRIC, count=30)
    assert [null.kind for null in both] == ["sphere", "covariance"]
    for null in both:
        assert len(null.removed) == len(null.added) == 30
        assert null.gate_removed.value > 0.99
        assert null.gate_added.value > 0.99
        assert max(null.removed) < 0.05
        assert null.p_removed == null.p_added == pytest.approx(1 / 31)
    (idle,) = select.random_directions(found, 1, seed=77)
    for null in random_nulls(model.runner, aligned, idle, acts, METRIC, count=30):
        assert null.gate_removed.value < 0.05
    assert any(v.p_removed > 0.05 for v in random_nulls(model.runner, aligned, idle, acts, METRIC))


def test_the_kinds_differ_and_repeat_by_seed(model, aligned, acts, found):
    a, again, other = (
        random_nulls(model.runner, aligned, found, acts, METRIC, count=5, seed=s) for s in (1, 1, 2)
    )
    assert a == again != other
    assert a[0].removed != a[1].removed


def test_what_acts_on_a_few_pairs_is_measured_on_all_and_nothing_else(
    model, aligned, found, monkeypatch
):
    monkeypatch.setattr(randoms, "_FEW", 2)
    assert len(aligned.clean) > 2
    some = [*select.random_directions(found, 3, seed=1), found]
    gate = directed(model.runner, aligned, [found], METRIC)
    means, again = randoms._screened(model.runner, aligned, some, METRIC, gate, quiet)
    assert again.tolist() == [False, False, False, True]
    whole = randoms._means(directed(model.runner, aligned, some, METRIC), gate)
    few = randoms._means(directed(model.runner, aligned.rows(slice(2)), some, METRIC), gate)
    assert means[:, :3].equal(few[:, :3])
    assert means[:, 3].equal(whole[:, 3])


def test_beside_what_does_nothing_no_direction_is_left_out(model, aligned, acts, found):
    (idle,) = select.random_directions(found, 1, seed=77)
    assert [null.whole for null in random_nulls(model.runner, aligned, found, acts, METRIC)] == [
        0,
        0,
    ]
    for null in random_nulls(model.runner, aligned, idle, acts, METRIC, count=10):
        assert null.whole == 10
