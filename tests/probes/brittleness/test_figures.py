"""Rank figures against other code, by hand, and with resamples that keep what they must."""

import pytest
import torch
from samples import normal
from scipy.stats import spearmanr

from probes.brittleness.figures import (
    CurveFigures,
    RankFigures,
    areas,
    ranks,
    resample,
    spearman,
    weighted_areas,
)
from probes.stats.intervals import drawn_interval
from probes.stats.roc import auroc_values


def test_ranks_share_ties_also_those_of_rounding():
    values = torch.tensor([[0.1 + 0.2, 5.0, 0.3, -1.0]], dtype=torch.float64)
    assert ranks(values).tolist() == [[2.5, 4.0, 2.5, 1.0]]
    assert ranks(values + torch.tensor([0, 0, 1e-6, 0])).tolist() == [[2.0, 4.0, 3.0, 1.0]]


def test_rank_correlations_are_those_of_scipy_with_ties():
    a, b = normal(5, 20), normal(5, 20, seed=1).round()
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b).tolist() == pytest.approx(expected)


def test_predictions_that_are_all_alike_say_nothing_and_equal_targets_are_left_out():
    same, varied = torch.ones(1, 4).double(), normal(1, 4)
    assert spearman(same, varied).item() == 0
    assert spearman(varied, same).isnan().item()


def test_areas_are_those_of_auroc_and_need_both_labels():
    scores = normal(6, 30).round()
    labels = normal(1, 30, seed=1) > 0
    found = areas(scores, labels.double().expand(6, -1))
    torch.testing.assert_close(found, auroc_values(scores, labels[0]))
    assert areas(scores[:1], torch.ones(1, 30).double()).isnan().item()


def test_a_weighted_area_is_that_of_repeated_rows():
    scores, labels = normal(20).round(), (normal(20, seed=1) > 0).double()
    times = torch.randint(0, 3, (20, 5), generator=torch.Generator().manual_seed(2))
    found = weighted_areas(scores, labels, times.double())
    for r in range(5):
        index = torch.arange(20).repeat_interleave(times[:, r])
        assert found[r].item() == pytest.approx(
            areas(scores[None, index], labels[None, index]).item()
        )


def test_the_figure_within_parts_is_the_mean_of_theirs():
    scheme = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3])
    scores = torch.tensor([[1, 2, 3, 1, 2, 3, 1, 2, 1, 2, 3]]).double()
    target = torch.tensor([[7, 8, 9, 5, 3, 4, 2, 1, 6, 6, 6]]).double()
    figures = RankFigures(scheme)
    # 1 and -1/2; the third scheme is too small, the fourth's targets are equal
    assert figures.within(scores, target).item() == pytest.approx(0.25)
    assert figures.judged(target[0]) == 6
    lost = torch.tensor([[0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1]]).double()
    curves = CurveFigures(scheme, torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    assert curves.within(scores, lost).item() == pytest.approx((1 + 0 + 0) / 3)
    assert curves.judged(lost[0]) == 3


def test_resamples_stay_within_their_scheme():
    scheme = torch.tensor([0, 1, 0, 2, 1, 0])
    index = resample(scheme, 50, seed=0)
    assert (scheme[index] == scheme).all()
    assert (index[:, 3] == 3).all()  # alone in its scheme
    assert len(index[:, 0].unique()) == 3


def test_resampled_figures_of_prompts_are_those_of_the_repeated_rows():
    organism = torch.arange(6).repeat_interleave(torch.tensor([4, 6, 5, 4, 3, 8]))
    scheme = (organism // 2).contiguous()
    scores, lost = normal(2, 30), (normal(30, seed=1) > 0).double()
    figures = CurveFigures(organism, scheme)
    pooled, within = figures.resampled(scores, lost, 20, seed=3)
    for r, drawn in enumerate(resample(torch.tensor([0, 0, 1, 1, 2, 2]), 20, seed=3)):
        rows = torch.cat([(organism == o).nonzero()[:, 0] for o in drawn.tolist()])
        assert pooled[1, r].item() == pytest.approx(
            areas(scores[1:, rows], lost[None, rows]).item()
        )
        each = [areas(scores[1:, organism == o], lost[None, organism == o]) for o in drawn.tolist()]
        assert within[1, r].item() == pytest.approx(torch.cat(each).nanmean().item())


def test_intervals_of_organisms_hold_the_truth_about_as_often_as_claimed():
    scheme = torch.arange(6).repeat_interleave(7)
    ranked = RankFigures(scheme)
    x = normal(150, 42)
    y = 0.5 * x + 0.75**0.5 * normal(150, 42, seed=1)
    held, wrong, narrow = 0, 0, 0
    for draw in range(150):
        value = float(ranked.pooled(x[draw : draw + 1], y[draw : draw + 1]))
        drawn = ranked.resampled(x[draw : draw + 1], y[draw], 200, draw)[0][0]
        found = drawn_interval(value, drawn, 42, "bootstrap", stretch=ranked.stretch[0])
        plain = drawn_interval(value, drawn, 42, "bootstrap")
        held += found.low <= 0.483 <= found.high  # 6 / pi * asin(0.5 / 2)
        wrong += found.low <= 0 <= found.high
        narrow += plain.low <= 0.483 <= plain.high
    assert held >= 135
    assert wrong < 30
    assert narrow <= held
