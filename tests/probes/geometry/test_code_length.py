"""Code lengths by hand, against refitted probes, and of labels that can and cannot be learned."""

import math

import pytest
import torch
from samples import normal
from sklearn.linear_model import Ridge

from circuits.errors import UserError
from probes.geometry.code_length import Coding, _ridge, blocks, code_length, platt

TRIGGERED = torch.tensor([False, True]).expand(64, 2)
QUICK = Coding(shuffles=20)


def pairs_of(sites: int, size: float, d: int = 80, seed: int = 0) -> torch.Tensor:
    """Pairs that share their content; the second of each lies ``size`` further along one axis."""
    x = normal(sites, 64, 2, d, seed=seed) * 0.5 + normal(sites, 64, 1, d, seed=seed + 1)
    x[:, :, 1, 0] += size
    return x


def test_labels_that_cannot_be_learned_cost_a_bit_and_separable_ones_far_less():
    nothing = code_length(pairs_of(40, 0.0), TRIGGERED, QUICK)
    bits = torch.tensor([e.value for e in nothing.bits])
    assert bits.mean().item() == pytest.approx(1, abs=0.03)
    assert bits.max() < 1.1
    plain = code_length(pairs_of(3, 30.0), TRIGGERED, QUICK)
    # The first block of 4 of 64 units costs a bit a label, the rest little more than Laplace's.
    assert all(4 / 64 < e.value < 0.25 for e in plain.bits)
    assert all(e.value > 4 for e in plain.compression)
    assert all(e.low > 0.6 for e in plain.selectivity)
    assert plain.p == pytest.approx([1 / 21] * 3)


def test_shuffled_labels_give_no_complexity_signal():
    x = pairs_of(40, 6.0)
    swap = torch.rand(64, generator=torch.Generator().manual_seed(5)) < 0.5
    shuffled = TRIGGERED ^ swap[:, None]
    found = code_length(x, shuffled, QUICK)
    assert sum(e.low <= 0 <= e.high for e in found.selectivity) >= 36
    assert 0.2 < sum(found.p) / 40 < 0.8
    true = code_length(x, TRIGGERED, QUICK)
    assert all(e.low > 0.1 for e in true.selectivity)


def test_a_design_with_opposite_labels_in_every_pair_is_no_signal():
    opposite = (torch.arange(64) % 2 == 0)[:, None] ^ TRIGGERED  # exclusive or with a hidden topic
    found = code_length(pairs_of(20, 6.0), opposite, QUICK)
    assert sum(found.p) / 20 > 0.2


def test_bits_fall_as_the_classes_part_and_every_interval_covers():
    means = []
    for size in (1.0, 2.0, 4.0):
        bits = code_length(pairs_of(60, size, d=20), TRIGGERED, Coding(shuffles=2)).bits
        centre = sum(e.value for e in bits) / 60
        assert sum(e.low <= centre <= e.high for e in bits) / 60 > 0.8
        means.append(centre)
    assert means[0] > means[1] + 0.1 > means[2] + 0.2


def test_left_out_and_new_scores_are_those_of_refitted_ridge():
    x = normal(1, 7, 2, 5)
    flat = x.flatten(1, 2)
    gram = (flat - flat.mean(1, keepdim=True)) @ (flat - flat.mean(1, keepdim=True)).mT
    labels = normal(14, seed=3) > 0
    seen, coming = torch.arange(10).view(5, 2), torch.arange(10, 14)
    left_out, scores = _ridge(gram, labels[None], seen, coming, 0.3)
    train, y = flat[0, :10].numpy(), torch.where(labels, 1.0, -1.0)[:10].numpy()
    alpha = 0.3 * train.var(0).sum()
    whole = Ridge(alpha=alpha).fit(train, y)
    assert scores[0, 0].tolist() == pytest.approx(whole.predict(flat[0, 10:].numpy()))
    for unit in range(5):
        out = [2 * unit, 2 * unit + 1]
        rest = [i for i in range(10) if i not in out]
        again = Ridge(alpha=alpha).fit(train[rest], y[rest])
        assert left_out[0, 0, out].tolist() == pytest.approx(again.predict(train[out]))


def test_one_class_is_coded_by_laplaces_rule_and_separated_scores_stay_finite():
    slope, offset = platt(normal(1, 6), torch.zeros(1, 6).bool())
    assert (slope.item(), torch.sigmoid(offset).item()) == pytest.approx((0, 1 / 8), abs=1e-3)
    scores = torch.tensor([[-1.0, -1.0, 1.0, 1.0, 1.0]]).double()
    labels = scores > 0
    slope, offset = platt(scores, labels)
    assert torch.sigmoid(slope + offset).item() == pytest.approx(4 / 5, abs=1e-3)  # (3+1)/(3+2)
    assert torch.sigmoid(offset - slope).item() == pytest.approx(1 / 4, abs=1e-3)  # 1 / (2+2)
    wrong, base = platt(-scores, labels)  # a falling probe is not turned around
    assert (wrong.item(), torch.sigmoid(base).item()) == pytest.approx((0, (3 * 0.8 + 0.5) / 5))


def test_blocks_double_up_to_all_units_and_a_unit_is_never_split():
    assert blocks(150) == [5, 10, 19, 38, 75, 150]
    assert blocks(16) == [4, 8, 16]
    # Partners are equal and so are their labels: only split pairs could be learned.
    content = normal(30, 64, 1, 40).expand(30, 64, 2, 40)
    labels = (normal(64, seed=9) > 0)[:, None].expand(64, 2)
    found = code_length(content, labels, Coding(shuffles=2)).bits
    assert sum(e.value for e in found) / 30 > 0.98


def test_the_code_depends_on_the_seed_only_through_orders_and_not_on_unit_or_place():
    x = pairs_of(2, 3.0)
    found = code_length(x, TRIGGERED, QUICK)
    moved = code_length(7 * x + 100, TRIGGERED, QUICK)
    for a, b in zip(found.bits, moved.bits, strict=True):
        assert math.isclose(a.value, b.value, rel_tol=1e-5)
    other = code_length(x, TRIGGERED, Coding(shuffles=20, seed=1))
    assert other.bits[0].value != found.bits[0].value
    assert found.bits[0].low < other.bits[0].value < found.bits[0].high


X = normal(1, 16, 2, 3)
Y = torch.tensor([False, True]).expand(16, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: code_length(X, Y[:8]), "one label per example"),
        (lambda: code_length(X[0], Y), "one label per example"),
        (lambda: code_length(X, Y & False), "both classes"),
        (lambda: code_length(X[:, :7], Y[:7]), "at least 8 units"),
        (lambda: code_length(X * torch.inf, Y), "finite"),
        (lambda: Coding(shuffles=1), "shuffles >= 2"),
        (lambda: Coding(penalty=0), "penalty > 0"),
    ],
)
def test_what_cannot_be_coded_is_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
