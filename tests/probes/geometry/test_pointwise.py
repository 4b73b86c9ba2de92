"""Numbers of single prompts: exact on made points, and never fitted on the prompt itself."""

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.margins import fold_of, held_out_scores, within_class_spread
from probes.geometry.pointwise import POINTWISE, pointwise
from probes.geometry.sets import ActivationSets, Pairs
from probes.linear import lda

N, D, ODD = 40, 6, 7
OPEN = torch.tensor([False, True]).expand(N, 2)


def sets_of(clean, triggered, gate=None) -> ActivationSets:
    n = clean.shape[1]
    gate = torch.tensor([False, True]).expand(n, 2) if gate is None else gate
    return ActivationSets(tuple(range(len(clean))), Pairs(clean, triggered), gate)


def noisy(layers: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean residuals about the origin, triggered ones about 8 along the first axis."""
    clean, triggered = normal(layers, N, D, seed=seed), normal(layers, N, D, seed=seed + 1)
    triggered[..., 0] += 8
    return clean, triggered


def others(values: torch.Tensor) -> torch.Tensor:
    return values[torch.arange(len(values)) != ODD]


def test_a_prompt_that_stays_on_the_clean_side_is_the_odd_one_in_every_number():
    clean, triggered = noisy(2)
    triggered[:, ODD] = clean[:, ODD] + 0.1
    found = pointwise(sets_of(clean, triggered))
    assert set(found) == set(POINTWISE)
    assert found["boundary"][ODD] < 0 < others(found["boundary"]).min()
    assert found["clean_boundary"].max() < 0
    assert abs(found["projection"][ODD]) < 0.5 < others(found["projection"]).min()
    assert found["displacement"][ODD] < 0.1 < others(found["displacement"]).min()
    assert found["mixing"][ODD] == 1 > 0.2 > others(found["mixing"]).max()
    assert found["crowding"][ODD] > 1.5 > others(found["crowding"]).max()
    # Control: without the planting it is one of many.
    plain = pointwise(sets_of(*noisy(2)))
    for name, values in plain.items():
        rest = others(values)
        assert (values[ODD] - rest.mean()).abs() < 3.5 * rest.std() + 1e-9, name
    assert plain["mixing"].max() == 0


def test_a_pure_displacement_is_projected_by_the_others_and_measured_by_its_length():
    """Clean residuals across the way: the i-th of lengths c lies at c_i over the others' mean."""
    clean = normal(1, N, D)
    clean[..., 0] = 0
    lengths = 1 + torch.arange(N) / 10.0
    triggered = clean.clone()
    triggered[0, :, 0] += lengths
    # What the others differ in across the way turns their mean difference nowhere: it is the axis.
    found = pointwise(sets_of(clean, triggered))
    rest = (lengths.sum() - lengths) / (N - 1)
    torch.testing.assert_close(found["projection"], (lengths / rest).double())
    torch.testing.assert_close(found["displacement"], (lengths / lengths.mean()).double())
    assert not torch.allclose(found["projection"], found["displacement"], atol=1e-3)


def test_crowding_compares_the_five_nearest_with_the_median_pair():
    """Corners of a simplex are equally far apart; some of them drawn in are close to each other."""
    n, close, factor = 24, 10, 0.1
    clean = normal(1, n, n)
    corners = torch.eye(n).double()[None]
    same = pointwise(sets_of(clean, corners))["crowding"]
    torch.testing.assert_close(same, torch.ones(n).double())
    corners[:, :close] *= factor
    # Distances: within the drawn-in, from them to others (the median pair), among others.
    within, across = factor * 2**0.5, (1 + factor**2) ** 0.5
    assert close * (close - 1) / 2 < n * (n - 1) / 4 < close * (close - 1) / 2 + close * (n - close)
    found = pointwise(sets_of(clean, corners))["crowding"]
    torch.testing.assert_close(found[:close], torch.full((close,), within / across).double())
    torch.testing.assert_close(found[close:], torch.ones(n - close).double())


def test_mixing_counts_clean_ones_among_the_ten_nearest_but_not_the_prompts_own():
    n = 24
    clean = normal(1, n, n)
    triggered = torch.eye(n).double()[None] + 50
    assert pointwise(sets_of(clean, triggered))["mixing"].max() == 0
    clean[0, ODD] = triggered.mean(1)[0]  # nearer to each corner than the other corners are
    expected = torch.full((n,), 0.1).double()
    expected[ODD] = 0
    torch.testing.assert_close(pointwise(sets_of(clean, triggered))["mixing"], expected)


def test_nothing_depends_on_the_frame_the_origin_or_the_unit():
    clean, triggered = noisy(2)
    turn = torch.linalg.qr(normal(D + 100, D, seed=4)).Q  # into a larger space than has examples
    plain = pointwise(sets_of(clean, triggered))
    moved = pointwise(sets_of(3 * clean @ turn.mT + 5, 3 * triggered @ turn.mT + 5))
    bent = pointwise(sets_of(clean.tanh(), triggered.tanh()))  # control
    for name, values in plain.items():
        torch.testing.assert_close(moved[name], values, atol=1e-8, rtol=1e-6)
        assert name == "mixing" or not torch.allclose(bent[name], values, atol=0.1), name


def test_layers_are_averaged():
    clean, triggered = noisy(2)
    each = [pointwise(sets_of(c[None], t[None])) for c, t in zip(clean, triggered, strict=True)]
    for name, values in pointwise(sets_of(clean, triggered)).items():
        torch.testing.assert_close(values, (each[0][name] + each[1][name]) / 2)
        assert name == "mixing" or not torch.allclose(values, each[0][name], atol=1e-3)


def test_shuffled_labels_take_the_boundary_away_and_leave_what_has_no_labels():
    clean, triggered = noisy(4)
    plain = pointwise(sets_of(clean, triggered))
    gain = []
    for seed in range(8):
        first = normal(N, seed=seed) > 0
        gate = torch.stack([first, ~first], dim=1)
        found = pointwise(sets_of(clean, triggered, gate))
        right = torch.where(gate, 1.0, -1.0)
        gain.append((right[:, 1] * found["boundary"] + right[:, 0] * found["clean_boundary"]) / 2)
        for name in ("projection", "displacement", "crowding", "mixing"):
            assert torch.equal(found[name], plain[name])
    by_label = (plain["boundary"] - plain["clean_boundary"]).mean() / 2
    assert by_label > 1
    assert torch.stack(gain).mean() < 0.1 * by_label


def raw_boundary(clean, triggered) -> torch.Tensor:
    """The boundary's numbers in the activations' own unit (one layer)."""
    sets = sets_of(clean, triggered)
    spread = within_class_spread(sets.pairs.units(), sets.gate)
    return pointwise(sets)["boundary"] * spread


def changed(triggered: torch.Tensor, by: float) -> torch.Tensor:
    new = triggered.clone()
    new[:, ODD] += by * normal(D, seed=9)
    return new


def test_a_prompts_boundary_is_the_same_plane_whatever_the_prompts_own_residual():
    """Its fold's boundary is fitted without it: affine in it, and unmoved for its fold's mates."""
    clean, triggered = noisy()
    fold = fold_of(N, 5, 0)
    mates = (fold == fold[ODD]) & (torch.arange(N) != ODD)
    plain, half, whole = (raw_boundary(clean, changed(triggered, by)) for by in (0, 5, 10))
    torch.testing.assert_close(half[ODD], (plain[ODD] + whole[ODD]) / 2)
    assert (whole[ODD] - plain[ODD]).abs() > 0.5
    torch.testing.assert_close(whole[mates], plain[mates])
    rest = fold != fold[ODD]
    assert ((whole - plain)[rest].abs() > 1e-6).all()  # their boundaries were fitted on it
    # What fitting on itself would show: the plane follows the prompt.
    inside = []
    for by in (0, 5, 10):
        x = torch.stack([clean, changed(triggered, by)], dim=2)
        inside.append(lda(x.flatten(1, 2), OPEN.flatten()).scores(x[:, ODD, 1:])[0, 0])
    assert (inside[1] - (inside[0] + inside[2]) / 2).abs() > 1e-3


def test_a_prompts_projection_is_along_the_others_difference():
    clean, triggered = noisy()
    plain, half, whole = (
        pointwise(sets_of(clean, changed(triggered, by)))["projection"] for by in (0, 5, 10)
    )
    torch.testing.assert_close(half[ODD], (plain[ODD] + whole[ODD]) / 2)
    way = others(triggered[0]).mean(0) - others(clean[0]).mean(0)
    at = (triggered[0, ODD] - others(clean[0]).mean(0)) @ way / (way @ way)
    torch.testing.assert_close(plain[ODD], at)
    assert (others(whole - plain).abs() > 1e-6).all()  # the others' ways went along


def test_the_boundary_is_the_held_out_score_and_the_seed_draws_its_folds():
    clean, triggered = noisy()
    sets = sets_of(clean, triggered)
    x = sets.pairs.units()
    for seed in (0, 1):
        found = pointwise(sets, seed)
        scores = held_out_scores(lda, x, OPEN, seed=seed) / within_class_spread(x, OPEN)
        torch.testing.assert_close(found["clean_boundary"], scores[0, :, 0])
        torch.testing.assert_close(found["boundary"], scores[0, :, 1])
    assert not torch.allclose(pointwise(sets)["boundary"], found["boundary"], atol=1e-4)


def test_too_few_prompts_are_told():
    clean, triggered = noisy()
    with pytest.raises(UserError, match=">= 20"):
        pointwise(sets_of(clean[:, :19], triggered[:, :19]))
    assert len(pointwise(sets_of(clean[:, :20], triggered[:, :20]))["boundary"]) == 20
