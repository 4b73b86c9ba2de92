"""Erasers do what their theorems say, on the data they were fitted on, and for no other label."""

import pytest
import torch
from samples import normal
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf
from sklearn.linear_model import LogisticRegression

from circuits.edits import erase, operators
from circuits.edits.erase import clamping, leace, mean_ablation, mean_difference_erasure, projection
from circuits.errors import UserError
from circuits.runner import whole
from circuits.types import Point

N, D = 400, 12
SHRINKAGES = (None, 0.0, 0.3, 1.0)


def labelled(n: int = N, d: int = D, classes: int = 2, seed: int = 0):
    """Correlated activations whose class means differ, in fp32, with an offset."""
    y = torch.arange(n) % classes
    x = normal(n, d, seed=seed) @ normal(d, d, seed=seed + 1) / d**0.5 + 2
    return (x + normal(classes, d, seed=seed + 2)[y]).float(), y


def covariance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Largest covariance of an activation's channel with membership of a class."""
    member = torch.nn.functional.one_hot(y).double()
    centred = x.double() - x.double().mean(dim=0)
    return float((centred.T @ (member - member.mean(dim=0)) / len(x)).abs().max())


def shuffled(y: torch.Tensor, seed: int = 9) -> torch.Tensor:
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]


def change(before: torch.Tensor, after: torch.Tensor, metric: torch.Tensor | None = None) -> float:
    """Mean squared change, in the inner product given."""
    moved = after.double() - before.double()
    metric = torch.eye(moved.shape[1], dtype=torch.float64) if metric is None else metric
    return float(torch.einsum("nd,de,ne->n", moved, metric, moved).mean())


def family():
    """Every eraser, with the labelled data that the fitted ones have seen."""
    x, y = labelled()
    basis = torch.linalg.qr(normal(D, 2, seed=4)).Q.T.float()
    return {
        "projection": projection(basis),
        "mean ablation": mean_ablation(basis, x[y == 0].mean(dim=0)),
        "leace": leace(x, y),
        "mean difference": mean_difference_erasure(x, y == 1),
    }


@pytest.fixture(params=family())
def eraser(request) -> erase.Eraser:
    return family()[request.param]


def test_erasing_is_idempotent_and_changes_something(eraser):
    x, _ = labelled(seed=5)
    once = eraser(x)
    assert torch.allclose(eraser(once), once, atol=1e-5)
    assert change(x, once) > 0.01


def test_the_rank_is_that_of_the_subspace(eraser):
    origin = eraser(torch.zeros(1, D))
    linear = eraser(torch.eye(D)) - origin  # an affine map less its offset
    changed = torch.linalg.matrix_rank(torch.eye(D) - linear, atol=1e-4)
    assert int(changed) == eraser.rank
    assert eraser.rank == (2 if eraser.name in ("projection", "mean ablation") else 1)


def test_a_batch_is_its_rows_and_the_input_stays(eraser):
    x = normal(3, 5, D, seed=6).float()
    before = x.clone()
    whole_batch = eraser(x)
    rows = torch.stack([torch.stack([eraser(column) for column in row]) for row in x])
    assert torch.allclose(whole_batch, rows, atol=1e-5)
    whole_batch.zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_come_back_as_they_went(eraser, dtype):
    x = normal(4, D, seed=7).to(dtype)
    found = eraser(x)
    assert found.dtype == dtype
    expected = eraser(x.double())
    # Computed in fp32 and rounded once: not further off than half a step of the dtype.
    step = torch.finfo(dtype).eps * expected.abs().clamp(min=1)
    assert bool(((found.double() - expected).abs() <= step / 2 + 1e-6).all())


def test_mean_ablation_gives_the_reference_components_and_leaves_the_others():
    x, _ = labelled()
    basis = torch.linalg.qr(normal(D, 3, seed=4)).Q.T.float()
    reference = normal(D, seed=8).float()
    found = mean_ablation(basis, reference)(x)
    assert torch.allclose(found @ basis.T, (basis @ reference).expand(N, 3), atol=1e-5)
    off = operators.project_out_subspace(found, basis) - operators.project_out_subspace(x, basis)
    assert float(off.abs().max()) < 1e-5
    at_zero = mean_ablation(basis, torch.zeros(D))(x)
    assert torch.allclose(at_zero, projection(basis)(x), atol=1e-6)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize(("n", "d", "classes"), [(N, D, 2), (N, D, 4), (48, 96, 2), (48, 96, 3)])
def test_leace_keeps_the_mean_and_leaves_no_covariance_with_the_label(n, d, classes, shrinkage):
    x, y = labelled(n, d, classes)
    eraser = leace(x, y, shrinkage)
    erased = eraser(x)
    assert covariance(x, y) > 0.1
    assert covariance(erased, y) < 1e-5
    assert torch.allclose(erased.mean(dim=0), x.mean(dim=0), atol=1e-5)
    means = torch.stack([erased[y == c].mean(dim=0) for c in range(classes)])
    assert torch.allclose(means, means[:1].expand_as(means), atol=1e-5)
    assert eraser.rank == classes - 1
    assert torch.allclose(eraser(erased), erased, atol=1e-4)


def test_no_linear_probe_beats_a_constant_after_leace_and_others_labels_survive():
    x, y = labelled()

    def accuracy(points, labels):
        probe = LogisticRegression(max_iter=2000, C=1e4).fit(points.numpy(), labels.numpy())
        return probe.score(points.numpy(), labels.numpy())

    assert accuracy(x, y) > 0.75
    assert accuracy(leace(x, y)(x), y) < 0.52
    other = leace(x, shuffled(y))(x)  # the same procedure, fitted on labels that mean nothing
    assert covariance(other, shuffled(y)) < 1e-5
    assert accuracy(other, y) > 0.75
    assert covariance(other, y) > 0.1


@pytest.mark.parametrize("classes", [2, 4])
def test_leace_is_the_papers_formula(classes):
    """W+ (W S)(W S)+ W with the square root of the covariance (section 4 of the paper)."""
    x, y = labelled(classes=classes)
    exact = x.double() - x.double().mean(dim=0)
    member = torch.nn.functional.one_hot(y).double()
    values, vectors = torch.linalg.eigh(exact.T @ exact / N)
    whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    unwhiten = vectors @ torch.diag(values.sqrt()) @ vectors.T
    seen = whiten @ exact.T @ (member - member.mean(dim=0)) / N
    oblique = unwhiten @ seen @ torch.linalg.pinv(seen, rtol=1e-9) @ whiten
    expected = x.double() - exact @ oblique.T
    found = leace(x, y, shrinkage=0.0)(x).double()
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(leace(x, y, shrinkage=1.0)(x).double(), expected, atol=0.05)


@pytest.mark.parametrize("metric", [None, 10, 11])
def test_no_other_eraser_changes_activations_less_in_any_inner_product(metric):
    x, y = labelled(classes=3)
    norm = metric and (lambda a: a @ a.T)(normal(D, D, seed=metric))
    least = change(x, leace(x, y, shrinkage=0.0)(x), norm)
    write = leace(x, y).write.double()
    others = []
    for seed in range(20):  # any reading that is the identity on what is written erases
        for size in (0.01, 1.0):
            drawn = leace(x, y, 0.0).read.double() + size * normal(*write.shape, seed=seed)
            read = torch.linalg.solve(drawn @ write.T, drawn).float()
            other = erase.Eraser("other", read, write.float(), torch.zeros(2)).toward(x.mean(dim=0))
            assert covariance(other(x), y) < 1e-4
            others.append(change(x, other(x), norm))
    assert least < min(others)
    assert least < change(x, leace(x, y, shrinkage=1.0)(x), norm)  # plain projection
    # Not by erasing less: what does not erase can change less.
    assert change(x, leace(x, shuffled(y), shrinkage=0.0)(x), norm) < least


def test_full_shrinkage_is_the_orthogonal_projection_off_the_mean_difference():
    x, y = labelled()
    apart = x[y == 1].mean(dim=0) - x[y == 0].mean(dim=0)
    expected = mean_ablation((apart / apart.norm())[None], x.mean(dim=0))
    assert torch.allclose(leace(x, y, shrinkage=1.0)(x), expected(x), atol=1e-5)
    assert not torch.allclose(leace(x, y)(x), expected(x), atol=1e-2)


@pytest.mark.parametrize("seed", [2, 4, 6])
def test_shrinkage_moves_new_activations_less_than_either_extreme_where_few_were_seen(seed):
    """48 + 48 activations of 300 dimensions whose variances fall as one over their rank."""
    apart = torch.nn.functional.normalize(normal(300, seed=1), dim=0) * 2
    y = torch.arange(96) % 2 == 1
    sizes = 4 * torch.arange(1, 301).rsqrt()

    def drawn(seed):
        return (normal(96, 300, seed=seed) * sizes + y[:, None] * apart).float()

    def moved_and_left(shrinkage):
        eraser = leace(seen, y, shrinkage).toward(seen[~y].mean(dim=0))
        erased = eraser(new).double()
        gap = (erased[y].mean(dim=0) - erased[~y].mean(dim=0)) @ apart / 4
        return change(new[~y], erased[~y]), abs(float(gap))

    seen, new = drawn(seed), drawn(seed + 1)
    (moved, left), (plain, _), (full, left_by_full) = map(moved_and_left, (None, 0.0, 1.0))
    assert moved < plain
    assert moved < 0.5 * full
    assert left < left_by_full


def test_the_mean_difference_keeps_the_clean_mean_and_moves_the_others_onto_it():
    x, y = labelled()
    erased = mean_difference_erasure(x, y == 1)(x)
    clean = x[y == 0].mean(dim=0)
    assert torch.allclose(erased[y == 0].mean(dim=0), clean, atol=1e-5)
    assert torch.allclose(erased[y == 1].mean(dim=0), clean, atol=1e-5)
    assert not torch.allclose(leace(x, y)(x)[y == 0].mean(dim=0), clean, atol=1e-2)
    anchored = leace(x, y).toward(clean)(x)
    assert torch.allclose(anchored[y == 1].mean(dim=0), clean, atol=1e-5)


def test_where_the_classes_agree_nothing_is_erased():
    """As in the embeddings of a last token that all prompts share."""
    x = torch.full((6, D), 3.0)
    y = torch.arange(6) % 2
    for fitted in (leace(x, y), leace(x, y, shrinkage=0.0), mean_difference_erasure(x, y == 1)):
        assert fitted.rank == 0
        assert torch.equal(fitted(x), x)


@pytest.mark.parametrize(("n", "d"), [(400, 12), (40, 12), (30, 96)])
def test_the_shrinkage_is_that_of_ledoit_and_wolf(n, d):
    x, _ = labelled(n, d)
    centred = x.double() - x.double().mean(dim=0)
    _, expected = sklearn_ledoit_wolf(centred.numpy(), assume_centered=True)
    gram = centred.T @ centred
    share = erase.ledoit_wolf(centred, gram, gram.diagonal().mean() / n)
    assert share.item() == pytest.approx(expected, rel=1e-9)
    assert 0 < expected < 1


def test_steering_and_clamping_are_their_tensor_maths():
    x, _ = labelled()
    unit = torch.nn.functional.normalize(normal(D, seed=3), dim=0).float()
    assert torch.equal(erase.steering(unit, -1.5)(x), operators.add_along(x, unit, -1.5))
    assert torch.equal(clamping(unit, 0.3)(x), operators.set_component_above(x, unit, 0.3, 0.3))
    assert not torch.equal(clamping(unit, 0.3)(x), x)


def test_an_edit_erases_at_its_point_in_its_columns_and_leaves_the_model(runner, batch):
    acts = runner.forward(whole(batch), record=[Point(2)])
    basis = torch.linalg.qr(normal(32, 2, seed=4)).Q.T.float()
    columns = batch.spans["trigger"]
    made = projection(basis).edit(Point(2), columns)
    found = runner.forward(whole(batch), [made], record=[Point(2)])
    before, after = acts.acts[Point(2)], found.acts[Point(2)]
    assert float((after[columns] @ basis.T).abs().max()) < 1e-4
    assert float((before[columns] @ basis.T).abs().max()) > 0.1
    assert torch.equal(after[~columns], before[~columns])
    assert float((found.logits - acts.logits).abs().max()) > 1e-3
    assert torch.equal(runner.forward(whole(batch)).logits, acts.logits)
    assert projection(basis).edit(Point(1), columns, onward=True).onward
    assert not made.onward


def test_what_cannot_be_fitted_is_refused():
    x, y = labelled()
    wrong = [
        (lambda: leace(x, y[:-1]), "n labels"),
        (lambda: leace(x[0], y), "n labels"),
        (lambda: leace(x, torch.zeros_like(y)), "two classes"),
        (lambda: leace(x * float("nan"), y), "finite"),
        (lambda: leace(x, y, shrinkage=1.5), "0..1"),
        (lambda: mean_difference_erasure(x, torch.zeros(N + 1, dtype=torch.bool)), "n labels"),
        (lambda: projection(x[:2]), "orthonormal"),
        (lambda: mean_ablation(2 * torch.eye(D)[:1], x[0]), "orthonormal"),
        (lambda: erase.steering(x[0], 1.0), "orthonormal"),
        (lambda: clamping(x[0], 1.0), "orthonormal"),
        (lambda: erase.Eraser("e", x[:2], x[:3], x[0, :2]), r"expected \[k, d\]"),
        (lambda: erase.Eraser("e", x[:2], x[:2], x[0, :2]), "idempotent"),
    ]
    for make, says in wrong:
        with pytest.raises(UserError, match=says) as caught:
            make()
        assert "\n" not in str(caught.value)
