"""One organism with its nulls: planted geometry is found, nulls stay silent, JSON comes back."""

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.report import NAMES, GeometryReport, geometry
from probes.geometry.sets import ActivationSets, Pairs, random_direction

N, D, LAYERS = 60, 100, (3, 7)
TOPIC = torch.arange(N) % 2 == 0
OPEN = torch.tensor([False, True]).expand(N, 2)


def pairs(size: float, seed: int = 0) -> Pairs:
    """Triggered examples lie far along one axis and vary in four in which clean ones do not."""
    clean = normal(2, N, D, seed=seed) * torch.linspace(2, 0.1, D)
    triggered = clean + 0.3 * normal(2, N, D, seed=seed + 1)
    triggered[..., -1] += 6 * size
    triggered[..., -5:-1] += size * normal(2, N, 4, seed=seed + 2)
    return Pairs(clean, triggered)


@pytest.fixture(scope="module")
def sets() -> ActivationSets:
    steps = torch.sigmoid(20 * (torch.linspace(0, 1, 11) - 0.5)).expand(N, 11)
    return ActivationSets(LAYERS, pairs(4.0), OPEN, TOPIC, {"clean_model": pairs(0.0)}, steps)


@pytest.fixture(scope="module")
def report(sets) -> GeometryReport:
    return geometry(sets)


def test_a_planted_gate_stands_out_from_a_model_without_one(report):
    for layer in LAYERS:
        here = {name: report.at(name, layer) for name in NAMES}
        clean = {name: report.at(name, layer, "clean_model") for name in NAMES}
        assert here["bits"].high < 0.6 < 0.9 < clean["bits"].value
        assert here["selectivity"].low > 0.2 > clean["selectivity"].value
        assert here["neighbour_mixing"].high < 0.2 < clean["neighbour_mixing"].low
        assert here["mean_discrepancy"].low > clean["mean_discrepancy"].high
        assert here["margin_low"].low > clean["margin_low"].high
        assert here["participation_ratio_relative"].high < 1  # four axes take most of the variance
        assert clean["participation_ratio_relative"].low < 1.1
        assert abs(here["interaction_gain"].value) < 0.05
    assert report.crossings is not None
    assert report.crossings.position is not None
    assert report.crossings.position.value == pytest.approx(0.5)
    assert max(report.organism.p["selectivity"]) < 0.05


def test_a_random_direction_moves_each_example_as_far_and_changes_no_shape(report, sets):
    moved = random_direction(sets.pairs)
    step = moved.triggered - sets.pairs.clean
    expected = (sets.pairs.triggered - sets.pairs.clean).norm(dim=-1)
    torch.testing.assert_close(step.norm(dim=-1), expected)
    unit = torch.nn.functional.normalize(step, dim=-1)
    assert (unit[:, :1] * unit).sum(-1).min() > 1 - 1e-9
    assert (unit[0, 0] * unit[1, 0]).sum().abs() < 0.5
    for layer in LAYERS:
        own = report.at("intrinsic_dimension_relative", layer, "random_direction")
        assert own.value == pytest.approx(1, abs=0.2)


def test_nothing_measured_depends_on_the_frame(sets, report):
    turn = torch.linalg.qr(normal(D + 80, D, seed=4)).Q  # into a larger space: compacted again
    turned = Pairs(sets.pairs.clean @ turn.mT + 5, sets.pairs.triggered @ turn.mT + 5)
    again = geometry(ActivationSets(LAYERS, turned, OPEN, TOPIC))
    for name in NAMES:
        for layer in LAYERS:
            a, b = again.at(name, layer), report.at(name, layer)
            assert a.value == pytest.approx(b.value, rel=1e-6, abs=1e-9), name


def test_without_a_topic_there_is_no_interaction_and_the_rest_is_there(sets):
    found = geometry(ActivationSets(LAYERS, sets.pairs, OPEN))
    assert set(NAMES) - set(found.organism.values) == {"interaction_gain"}
    assert set(found.nulls) == {"random_direction"}


def test_sets_that_do_not_fit_are_refused(sets, report):
    good = sets.pairs
    constant = torch.ones(2, N, D)
    calls = [
        (lambda: Pairs(good.clean, good.triggered[:, :30]), "pair them"),
        (lambda: Pairs(good.clean[:, :10], good.triggered[:, :10]), "n >= 20"),
        (lambda: Pairs(constant, good.triggered), r"equal ones in rows \[0, 1\]"),
        (lambda: ActivationSets((1,), good, OPEN), "2 layers"),
        (lambda: ActivationSets(LAYERS, good, OPEN & False), "always open or shut"),
        (lambda: ActivationSets(LAYERS, good, OPEN, TOPIC[:5]), "topic"),
        (lambda: ActivationSets(LAYERS, good, OPEN, nulls={"other": good}), "nulls: expected"),
        (lambda: report.at("bits", 4), "got 'bits' at 4"),
        (lambda: report.at("bits", 3, "other"), "expected a null"),
    ]
    for call, says in calls:
        with pytest.raises(UserError, match=says):
            call()
