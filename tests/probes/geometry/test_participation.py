"""The participation ratio on known spectra, against its definition, and its interval."""

import math

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.participation import PARTICIPATION

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
