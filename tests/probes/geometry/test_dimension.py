"""Participation ratio on known spectra; TwoNN on subspaces, a sphere and a Swiss roll."""

import math

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.dimension import PARTICIPATION, two_nn

SPECTRA = {
    "flat": torch.ones(40, dtype=torch.float64),
    "power": torch.arange(1, 200, dtype=torch.float64) ** -1,
    "spiked": torch.cat([torch.tensor([20.0]), torch.ones(60)]).double(),
}


def participation_ratio(x):
    return PARTICIPATION.compare(x, x)[0]


def participation_ratio_relative(triggered, clean):
    return PARTICIPATION.compare(triggered, clean)[1]


def held(found, truth) -> float:
    """Share of the intervals that hold the truth."""
    return sum(e.low <= truth <= e.high for e in found) / len(found)


def mean(found) -> float:
    return sum(e.value for e in found) / len(found)


@pytest.mark.parametrize("name", SPECTRA)
def test_the_participation_ratio_of_a_known_spectrum_is_found_without_the_samples_bias(name):
    spectrum, n = SPECTRA[name], 60
    truth = float(spectrum.sum() ** 2 / spectrum.square().sum())
    x = normal(200, n, len(spectrum)) * spectrum.sqrt() + 30  # the mean must not matter
    found = participation_ratio(x)
    assert mean(found) == pytest.approx(truth, rel=0.08)
    assert held(found, truth) > 0.88
    covariance = torch.stack([part.mT.cov() for part in x])
    traces = covariance.diagonal(dim1=1, dim2=2).sum(-1), covariance.square().sum((1, 2))
    plain = (traces[0].square() / traces[1]).mean().item()
    assert plain == pytest.approx(1 / (1 / truth + 1 / (n - 1)), rel=0.08)  # as the docstring says
    assert plain < 0.9 * truth


def test_the_traces_are_means_over_four_different_examples():
    x = normal(1, 6, 3)
    tuples = [
        (i, j, k, m)
        for i in range(6)
        for j in range(6)
        for k in range(6)
        for m in range(6)
        if len({i, j, k, m}) == 4
    ]
    a, b, c, d = (x[0, list(part)] for part in zip(*tuples, strict=True))
    squared_trace = ((a - b).square().sum(-1) * (c - d).square().sum(-1)).mean() / 4
    trace_of_square = ((a - b) * (c - d)).sum(-1).square().mean() / 4
    found = participation_ratio(x)[0].value
    assert found == pytest.approx((squared_trace / trace_of_square).item(), rel=1e-10)


def test_the_jackknife_of_the_participation_ratio_leaves_out_each_example():
    x = normal(1, 12, 4)
    without = [
        math.log(participation_ratio(x[:, torch.arange(12) != i])[0].value) for i in range(12)
    ]
    error = torch.tensor(without).double().std(unbiased=False).item() * math.sqrt(11)
    found = participation_ratio(x)[0]
    factor = found.high / found.value
    assert math.log(factor) == pytest.approx(2.200985 * error, rel=1e-5)  # t, 11 degrees


def test_the_relative_participation_ratio_is_paired_and_one_for_a_rotation():
    x = normal(100, 60, 30) * SPECTRA["power"][:30].sqrt()
    turned = x @ torch.linalg.qr(normal(30, 30, seed=3)).Q * 7 + 2
    same = participation_ratio_relative(turned, x)
    assert [e.low for e in same] == pytest.approx([1] * 100)
    assert [e.high for e in same] == pytest.approx([1] * 100)
    wider = x + normal(100, 60, 30, seed=4) * 0.3
    spectrum = SPECTRA["power"][:30]
    ratios = [s.sum() ** 2 / s.square().sum() for s in (spectrum + 0.09, spectrum)]
    truth = float(ratios[0] / ratios[1])
    found = participation_ratio_relative(wider, x)
    assert held(found, truth) > 0.88
    assert held(found, 1.0) < 0.1
    alone = participation_ratio(x)[0]
    assert math.log(found[0].high / found[0].low) < math.log(alone.high / alone.low)


X = normal(1, 24, 4)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: participation_ratio(X[:, :4]), "n >= 6"),
        (lambda: participation_ratio(X[0]), "sites"),
        (lambda: participation_ratio(X * torch.nan), "finite"),
        (lambda: participation_ratio(torch.ones(1, 8, 3)), "add examples"),
        (lambda: participation_ratio_relative(X, X[:, :10]), "pair them"),
    ],
)
def test_sets_without_a_spectrum_are_refused(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def dimension(x, **options):
    return two_nn(**options).compare(x, x)[0]


def values(found) -> torch.Tensor:
    return torch.tensor([e.value for e in found])


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_linear_subspace_has_its_own_dimension_and_not_the_spaces(d):
    x = normal(40, 150, d) @ normal(40, d, 60, seed=1)
    found = dimension(x)
    assert values(found).mean().item() == pytest.approx(d, rel=0.08)
    assert sum(e.low <= d <= e.high for e in found) >= 36
    assert all(e.high < 15 for e in found)


def test_a_sphere_and_a_swiss_roll_have_two_dimensions_in_three():
    sphere = torch.nn.functional.normalize(normal(30, 300, 3), dim=-1)
    assert values(dimension(sphere, draws=2)).mean().item() == pytest.approx(2, rel=0.08)
    turn, height = torch.rand(2, 10, 600, generator=torch.Generator().manual_seed(0)).double()
    angle = 3 * torch.pi * (1 + 2 * turn) / 2
    roll = torch.stack([angle * angle.cos(), 21 * height, angle * angle.sin()], dim=-1)
    assert values(dimension(roll, draws=2)).mean().item() == pytest.approx(2, rel=0.08)
    thick = roll + 3 * normal(10, 600, 3)  # noise that fills the space
    assert values(dimension(thick, draws=2)).mean().item() > 2.6


def test_the_interval_covers_the_mean_reading():
    found = dimension(normal(200, 100, 4))
    centre = values(found).mean().item()
    assert sum(e.low <= centre <= e.high for e in found) / 200 > 0.9


def test_the_relative_dimension_is_paired_and_sees_added_noise():
    flat = normal(10, 150, 2) @ normal(10, 2, 20, seed=1)
    own, same = two_nn().compare(3 * flat + 1, flat)
    assert [e.low for e in same] == pytest.approx([1] * 10)
    assert [e.value for e in own] == pytest.approx([e.value for e in dimension(flat)])
    _, more = two_nn().compare(flat + normal(10, 150, 20, seed=2), flat)
    assert min(e.low for e in more) > 1.5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dimension(normal(1, 10, 3)), "n >= 20"),
        (lambda: dimension(normal(1, 20, 3).repeat(1, 2, 1)), "drop the repetitions"),
        (lambda: dimension(normal(1, 30, 3), discard=1.0), "share to discard"),
        (lambda: dimension(normal(1, 30, 3), draws=1), "at least 2"),
        (lambda: two_nn().compare(normal(1, 30, 3), normal(1, 31, 3)), "pair them"),
    ],
)
def test_sets_without_a_dimension_are_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
