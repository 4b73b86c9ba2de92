"""Each probe against a theorem or scikit-learn, with a control in which it must fail."""

import numpy as np
import pytest
import torch
from samples import alternating, normal, planted
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge

from probes.linear import ESTIMATORS, accuracy_of, lda, logistic, mean_difference, paired_svd, ridge

NAMES = sorted(ESTIMATORS)


@pytest.mark.parametrize("name", NAMES)
def test_a_direction_in_isotropic_noise_is_recovered(name):
    x, labels, truth = planted(3000, 12)
    probes = ESTIMATORS[name](x, labels)
    assert ((probes.directions * truth).sum(-1) > 0.99).all()
    torch.testing.assert_close(probes.directions.norm(dim=-1), torch.ones(3, dtype=torch.float64))
    blank = ESTIMATORS[name](normal(3, 3000, 12), labels)  # nothing planted, nothing found
    assert ((blank.directions * truth).sum(-1).abs() < 0.9).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "d"), [(200, 20), (60, 100)])
def test_positive_class_scores_higher_and_complement_labels_negate(name, n, d):
    x, _, _ = planted(n, d, size=0.5)
    labels = normal(n, seed=9) > 0.5  # unbalanced, and unrelated to x
    probes, flipped = ESTIMATORS[name](x, labels), ESTIMATORS[name](x, ~labels)
    scores = probes.scores(x)
    assert (scores[:, labels].mean(1) > scores[:, ~labels].mean(1)).all()
    torch.testing.assert_close(flipped.directions, -probes.directions, atol=1e-7, rtol=0)
    torch.testing.assert_close(flipped.offsets, -probes.offsets, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_scores_ignore_a_common_translation_and_scale_with_the_unit(name):
    x, labels, _ = planted(80, 100)
    shift = 50 * normal(3, 1, 100, seed=5)
    scores = ESTIMATORS[name](x, labels).scores(x)
    moved = ESTIMATORS[name](x + shift, labels)
    torch.testing.assert_close(moved.scores(x + shift), scores, atol=1e-6, rtol=0)
    assert (moved.scores(x) - scores).abs().max() > 1  # the offset does follow the data
    scaled = ESTIMATORS[name](1000 * x, labels).scores(1000 * x)
    torch.testing.assert_close(scaled, 1000 * scores, atol=1e-3, rtol=0)


def test_lda_beats_mean_difference_under_correlated_noise():
    x, labels, truth = planted(600, 10, size=3.0)
    other = torch.nn.functional.normalize(normal(3, 10, seed=7), dim=-1)
    nuisance = torch.nn.functional.normalize(truth + other, dim=-1)
    amount = 4 * normal(3, 600, 1, seed=8)
    x = x + amount * nuisance[:, None]
    train, test = slice(0, 300), slice(300, 600)
    fitted = {f: f(x[:, train], labels[train]) for f in (lda, mean_difference)}
    accuracy = {f: accuracy_of(p.scores(x[:, test]), labels[test]) for f, p in fitted.items()}
    assert (accuracy[lda] > accuracy[mean_difference] + 0.05).all()
    # Full shrinkage makes the covariance isotropic, and with it the advantage goes.
    isotropic = lda(x[:, train], labels[train], shrinkage=1.0)
    torch.testing.assert_close(isotropic.directions, fitted[mean_difference].directions)


@pytest.mark.parametrize(("n", "d"), [(150, 5), (40, 70)])
def test_agreement_with_sklearn(n, d):
    x, _, _ = planted(n, d, size=1.5, sites=2)
    labels = alternating(n) ^ (normal(n, seed=3) > 1)
    spread = (x - x.mean(1, keepdim=True)).square().sum(-1).mean(-1)
    for site in range(2):
        data, y = x[site].numpy(), labels.numpy()
        scale = spread[site].item()
        # Their defaults stop early; the tolerance is theirs.
        references = {
            lda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3),
            ridge: Ridge(alpha=0.5 * scale),
            logistic: LogisticRegression(C=1 / (0.5 * scale), tol=1e-10, max_iter=5000),
        }
        settings = {lda: {"shrinkage": 0.3}, ridge: {"penalty": 0.5}, logistic: {"penalty": 0.5}}
        for fit, reference in references.items():
            reference.fit(data, 2.0 * y - 1 if fit is ridge else y)
            weights = np.ravel(reference.coef_)
            norm = np.linalg.norm(weights)
            probes = fit(x, labels, **settings[fit])
            np.testing.assert_allclose(probes.directions[site], weights / norm, atol=1e-5)
            offset = float(np.ravel(reference.intercept_)[0]) / norm
            assert probes.offsets[site].item() == pytest.approx(offset, abs=1e-4)


@pytest.mark.parametrize(("n", "d"), [(100, 20), (50, 120)])
def test_the_default_lda_shrinkage_is_ledoit_wolf_of_the_residuals(n, d):
    x = normal(1, n, d) * torch.linspace(0.2, 3, d)
    labels = alternating(n)
    residuals = x[0].clone()
    for side in (labels, ~labels):
        residuals[side] -= residuals[side].mean(0)
    share = ledoit_wolf_shrinkage(residuals.numpy(), assume_centered=True)
    default = lda(x, labels).directions
    torch.testing.assert_close(default, lda(x, labels, float(share)).directions)
    assert (default - lda(x, labels, min(1.0, 2 * float(share))).directions).norm() > 1e-3


def test_logistic_converges_on_separable_data_and_refuses_too_few_steps():
    x, labels, _ = planted(60, 200, size=20.0)
    assert (accuracy_of(logistic(x, labels, penalty=1e-3).scores(x), labels) == 1).all()
    with pytest.raises(ValueError, match="convergence in 1 Newton steps"):
        logistic(x, labels, penalty=1e-3, steps=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_site_without_a_class_difference_stays_silent(name):
    x, labels, _ = planted(40, 60, size=8.0)
    x[1] = normal(60, seed=4)  # the same activation for every example
    probes = ESTIMATORS[name](x, labels)
    assert (probes.scores(x)[1] == 0).all()
    assert probes.directions[1].norm() == 0
    assert (accuracy_of(probes.scores(x), labels)[[0, 2]] > 0.9).all()


@pytest.mark.parametrize(("n", "d"), [(40, 12), (12, 40)])
def test_paired_svd_agrees_with_torch_and_faces_the_mean(n, d):
    differences = normal(4, n, d) + 2 * normal(4, 1, d, seed=1)
    vectors = paired_svd(differences, 3)
    expected = torch.linalg.svd(differences).Vh[:, :3]
    torch.testing.assert_close((vectors * expected).sum(-1).abs(), torch.ones(4, 3).double())
    torch.testing.assert_close(vectors @ vectors.mT, torch.eye(3).double().expand(4, 3, 3))
    mean = differences.mean(1, keepdim=True)
    assert ((vectors * mean).sum(-1) > 0).all()
    torch.testing.assert_close(paired_svd(-differences, 3), -vectors)
    centred = paired_svd(differences - mean, 1)  # uncentred on purpose: the mean is the signal
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(vectors[:, 0], mean[:, 0]).min() > 0.9
    assert cosine(centred[:, 0], mean[:, 0]).abs().max() < 0.9


X, Y = normal(2, 6, 3), alternating(6)
WITH_NAN = torch.where(torch.arange(6)[:, None] == 2, torch.nan, X)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("x", "labels", "says"),
    [
        (WITH_NAN, Y, "got 1 examples with NaN"),
        (X, torch.ones(6).bool(), "both classes"),
        (X, Y[:5], "reshape"),
        (X, Y.long(), "bool labels"),
        (X[0], Y, r"\[sites, n, d\]"),
    ],
)
def test_wrong_data_is_refused_by_every_estimator(name, x, labels, says):
    with pytest.raises(ValueError, match=says) as caught:
        ESTIMATORS[name](x, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ridge(X, Y, penalty=0), "penalty > 0"),
        (lambda: lda(X, Y, shrinkage=2), r"shrinkage in \[0, 1\]"),
        (lambda: lda(X[:, :4], Y[:4], shrinkage=0), "shrinkage > 0"),
        (lambda: paired_svd(X, 4), "smaller k"),
        (lambda: paired_svd(WITH_NAN, 1), "NaN"),
        (lambda: mean_difference(X, Y).scores(X[:1]), "fitted sites"),
        (lambda: mean_difference(X, Y[:2]), "bool labels"),
    ],
)
def test_wrong_settings_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
