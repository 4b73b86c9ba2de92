"""Nothing of a held-out scheme enters its fit; penalties are chosen as a plain loop does."""

import math

import torch
from samples import normal

from probes.brittleness.learners import Logistic, Ridge
from probes.brittleness.nested import held_out, scaling_of, tuned

NAN = float("nan")
SCHEME = torch.arange(4).repeat_interleave(6)


def test_the_target_of_a_held_out_scheme_changes_none_of_its_predictions():
    x, y = normal(24, 3), normal(24, 1, seed=1)
    huge = torch.where(SCHEME[:, None] == 2, 1e6 + y, y)
    before, after = (held_out(Ridge(), x, target, SCHEME) for target in (y, huge))
    assert torch.equal(before.scores[:, SCHEME == 2], after.scores[:, SCHEME == 2])
    assert torch.equal(before.fits[2].theta, after.fits[2].theta)
    assert (before.scores - after.scores)[:, SCHEME != 2].abs().min() > 1


def test_the_features_of_a_held_out_scheme_do_not_enter_its_fit():
    x, y = normal(24, 3), (normal(24, 1, seed=1) > 0).double()
    moved = x.clone()
    moved[13] = torch.tensor([1e6, NAN, -1e6])
    before, after = (held_out(Logistic(), part, y, SCHEME) for part in (x, moved))
    others = (SCHEME == 2) & (torch.arange(24) != 13)
    assert torch.equal(before.scores[:, others], after.scores[:, others])
    assert (before.scores - after.scores)[:, SCHEME != 2].abs().max() > 0.01


def test_many_targets_are_fitted_as_if_alone():
    x, y = normal(24, 5), normal(24, 4, seed=1)
    together = held_out(Ridge(), x, y, SCHEME).scores
    for t in range(4):
        alone = held_out(Ridge(), x, y[:, t : t + 1], SCHEME).scores[0]
        torch.testing.assert_close(together[t], alone)


def test_predictions_are_those_of_a_plain_double_loop():
    x, y = normal(24, 5) * 3 + 1, normal(24, seed=1)
    y = y + x[:, 0] / 3
    scheme, penalties = SCHEME, (3.0, 0.3, 0.001)

    def fitted(rows, penalty):
        mean, scale = x[rows].mean(0), x[rows].std(0, correction=0)
        z, centre = (x - mean) / scale, y[rows].mean()
        added = math.sqrt(penalty * int(rows.sum())) * torch.eye(5, dtype=torch.float64)
        right = torch.cat([y[rows] - centre, torch.zeros(5, dtype=torch.float64)])
        return centre + z @ torch.linalg.lstsq(torch.cat([z[rows], added]), right[:, None]).solution

    expected, chosen = torch.empty(24, dtype=torch.float64), []
    for out in range(4):
        losses = []
        for penalty in penalties:
            inner = [scheme == s for s in range(4) if s != out]
            errors = [fitted((scheme != out) & ~part, penalty)[part, 0] - y[part] for part in inner]
            losses.append(float(torch.cat(errors).square().mean()))
        chosen.append(penalties[losses.index(min(losses))])
        expected[scheme == out] = fitted(scheme != out, chosen[-1])[scheme == out, 0]
    found = held_out(Ridge(penalties), x, y[:, None], SCHEME)
    assert [float(fit.penalty) for fit in found.fits] == chosen
    torch.testing.assert_close(found.scores[0], expected)


def test_a_missing_feature_counts_as_the_mean_of_the_training_rows():
    x, y = normal(24, 3), normal(24, 1, seed=1)
    x[3, 1] = NAN  # of scheme 0
    filled = x.clone()
    filled[3, 1] = x[6:, 1].mean()
    missing, given = (held_out(Ridge(), part, y, SCHEME).scores[0] for part in (x, filled))
    torch.testing.assert_close(missing[:6], given[:6])
    scaling = scaling_of(torch.tensor([[1.0, 7.0, NAN], [NAN, 7.0, NAN], [3.0, 7.0, NAN]]))
    rows = scaling(torch.tensor([[1.0, 7.0, NAN], [NAN, 7.0, NAN], [3.0, 9.0, 5.0]]))
    assert rows.tolist() == [[-1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_only_unequal_weights_change_a_fit():
    x, y = normal(24, 4), normal(24, 3, seed=1)
    plain, equal = (
        tuned(Ridge(), x, y, SCHEME, weights) for weights in (None, torch.full_like(y, 2.0))
    )
    torch.testing.assert_close(equal.theta, plain.theta)
    torch.testing.assert_close(equal.penalty, plain.penalty)
    weights = torch.ones_like(y)
    weights[:8, 1] = 5
    changed = tuned(Ridge(), x, y, SCHEME, weights)
    assert not torch.allclose(changed.theta[:, 1], plain.theta[:, 1])
    torch.testing.assert_close(changed.theta[:, 2], plain.theta[:, 2])
