"""The product's gain on planted gates: exclusive or, both, either, one condition, chance."""

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.interaction import interaction_gain

N = 80
TRIGGER = torch.tensor([False, True]).expand(N, 2)
TOPIC = (torch.arange(N) % 2 == 0)[:, None].expand(N, 2)
XOR = TRIGGER ^ TOPIC


def design(size: float = 6.0, sites: int = 12, d: int = 30) -> torch.Tensor:
    x = 0.5 * normal(sites, N, 2, d) + normal(sites, N, 1, d, seed=1)
    x[..., 0] += size * TRIGGER
    x[..., 1] += size * TOPIC
    return x


def average(found) -> float:
    return sum(e.value for e in found) / len(found)


def test_exclusive_or_needs_the_product_and_single_conditions_do_not():
    x = design()
    xor = interaction_gain(x, TRIGGER, TOPIC, XOR)
    assert average(xor.linear) == pytest.approx(0.5, abs=0.08)
    assert average(xor.product) > 0.93
    assert min(e.low for e in xor.gain) > 0.2
    single = interaction_gain(x, TRIGGER, TOPIC, TRIGGER)
    assert average(single.gain) == pytest.approx(0, abs=0.01)
    assert average(single.linear) > 0.95
    for gate in (TRIGGER & TOPIC, TRIGGER | TOPIC):
        assert -0.01 < average(interaction_gain(x, TRIGGER, TOPIC, gate).gain) < 0.06


def test_a_product_that_the_model_has_formed_is_no_gain():
    x = design()
    x[..., 2] += 6 * XOR
    found = interaction_gain(x, TRIGGER, TOPIC, XOR)
    assert average(found.linear) > 0.95
    assert abs(average(found.gain)) < 0.03


def test_a_gate_of_neither_condition_is_read_by_neither_probe():
    anything = torch.rand(N, 2, generator=torch.Generator().manual_seed(0)) < 0.5
    found = interaction_gain(design(), TRIGGER, TOPIC, anything)
    assert abs(average(found.gain)) < 0.07
    assert sum(e.low <= 0 <= e.high for e in found.gain) >= 9


X = design(sites=1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: interaction_gain(X, TRIGGER, TOPIC, XOR & False), "gate: expected both"),
        (lambda: interaction_gain(X, TRIGGER[:9], TOPIC, XOR), "trigger: expected x"),
        (
            lambda: interaction_gain(X[:, :6], TRIGGER[:6], torch.eye(6, 2).bool(), XOR[:6]),
            "every fold",
        ),
    ],
)
def test_designs_without_both_classes_are_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
