"""Projections are projections; every edit returns a new tensor and does only what it says."""

import pytest
import torch
from samples import normal

from circuits.edits import operators
from circuits.errors import UserError

D = 12


@pytest.fixture
def x() -> torch.Tensor:
    return normal(5, 7, D)


@pytest.fixture
def unit() -> torch.Tensor:
    v = normal(D, seed=1)
    return v / v.norm()


@pytest.fixture
def basis() -> torch.Tensor:
    return torch.linalg.qr(normal(D, 3, seed=2)).Q.T


def close(a, b) -> bool:
    return torch.allclose(a, b, atol=1e-12, rtol=0)


def component(x, unit):
    return x @ unit


def test_projecting_out_is_idempotent(x, unit):
    once = operators.project_out(x, unit)
    assert close(operators.project_out(once, unit), once)
    assert not close(once, x)
    doubled = operators.project_out(x, 2 * unit)  # not a unit vector: no projection
    assert not close(operators.project_out(doubled, 2 * unit), doubled)


def test_projecting_out_removes_rank_one_and_is_self_adjoint(unit):
    matrix = operators.project_out(torch.eye(D, dtype=torch.float64), unit)
    assert torch.linalg.matrix_rank(torch.eye(D) - matrix) == 1
    assert close(matrix, matrix.T)
    assert close(matrix @ unit, torch.zeros(D, dtype=torch.float64))


def test_projecting_out_leaves_orthogonal_vectors_alone(x, unit):
    orthogonal = operators.project_out(x, unit)
    assert close(component(orthogonal, unit), torch.zeros(5, 7, dtype=torch.float64))
    assert float(component(x, unit).abs().min()) > 1e-3
    other = operators.project_out(normal(D, seed=3), unit)
    assert close(operators.project_out(x, unit) @ other, x @ other)


def test_a_subspace_is_removed_as_its_basis_one_by_one_in_any_order(x, basis):
    whole = operators.project_out_subspace(x, basis)
    for order in ([0, 1, 2], [2, 0, 1]):
        step = x
        for row in basis[order]:
            step = operators.project_out(step, row)
        assert close(step, whole)
    slanted = torch.stack([basis[0], (basis[0] + basis[1]) / 2**0.5])  # not orthonormal
    step = operators.project_out(operators.project_out(x, slanted[0]), slanted[1])
    assert not close(step, operators.project_out_subspace(x, basis[:2]))


def test_a_subspace_depends_on_its_span_not_on_its_basis(x, basis):
    turn = torch.linalg.qr(normal(3, 3, seed=4)).Q
    assert close(
        operators.project_out_subspace(x, turn @ basis), operators.project_out_subspace(x, basis)
    )


def test_setting_above_a_level_moves_what_exceeds_it_all_the_way_and_nothing_else(x, unit):
    level, value = float(component(x, unit).median()), -2.0
    found, high = operators.set_component_above(x, unit, level, value), component(x, unit) > level
    assert 0 < int(high.sum()) < high.numel()
    assert torch.equal(found[~high], x[~high])  # not a rounding error away: the same numbers
    assert close(component(found, unit)[high], torch.full_like(found[..., 0][high], value))
    assert close(operators.project_out(found, unit), operators.project_out(x, unit))
    assert close(operators.set_component_above(found, unit, level, value), found)


def test_clamping_lowers_what_exceeds_the_ceiling_and_nothing_else(x, unit):
    ceiling = 0.2
    found, before = operators.set_component_above(x, unit, ceiling, ceiling), component(x, unit)
    above = before > ceiling
    assert above.any()
    assert not above.all()
    assert torch.equal(found[~above], x[~above])
    assert close(component(found, unit), before.clamp(max=ceiling))
    assert close(operators.project_out(found, unit), operators.project_out(x, unit))


def test_steering_moves_the_component_by_the_amount_and_nothing_else(x, unit):
    found = operators.add_along(x, unit, 2.5)
    assert close(component(found, unit), component(x, unit) + 2.5)
    assert close(operators.project_out(found, unit), operators.project_out(x, unit))
    assert close(operators.add_along(found, unit, -2.5), x)


def test_replacing_gives_the_source_in_memory_of_its_own(x):
    source = normal(5, 7, D, seed=6)
    found = operators.replace(x, source)
    assert torch.equal(found, source)
    found.zero_()
    assert source.any()


def test_replacing_by_another_shape_is_refused(x):
    with pytest.raises(UserError, match=r"expected shape \(5, 7, 12\), got \(7, 12\)"):
        operators.replace(x, x[0])


def test_columns_limit_an_edit_for_every_rank(x):
    columns = torch.zeros(5, 7, dtype=torch.bool)
    columns[1, 2] = columns[4, 6] = True
    for tensor in (x, x.reshape(5, 7, 3, 4)):
        found = operators.on_columns(torch.neg, tensor, columns)
        assert torch.equal(found[~columns], tensor[~columns])
        assert torch.equal(found[columns], -tensor[columns])


def test_affine_erasure_sets_the_readings_and_moves_only_along_what_it_writes(x, basis):
    write = basis[:2]
    read = torch.linalg.solve(normal(2, D, seed=5) @ write.T, normal(2, D, seed=5))
    level = normal(2, seed=7)
    found = operators.affine_erase(x, read, write, level)
    assert close(found @ read.T, level.expand(5, 7, 2))
    assert close(operators.affine_erase(found, read, write, level), found)
    assert close(operators.project_out_subspace(found - x, write), torch.zeros_like(x))
    assert not close(found @ write.T, level.expand(5, 7, 2))  # oblique: it reads elsewhere


def test_affine_erasure_with_equal_rows_and_level_zero_is_projecting_out(x, basis):
    level = torch.zeros(3, dtype=torch.float64)
    found = operators.affine_erase(x, basis, basis, level)
    assert close(found, operators.project_out_subspace(x, basis))
    assert not close(operators.affine_erase(x, basis, basis, level + 1), found)


def test_affine_erasure_of_nothing_is_the_identity_in_memory_of_its_own(x):
    none = torch.zeros(0, D, dtype=torch.float64)
    found = operators.affine_erase(x, none, none, none[:, 0])
    assert torch.equal(found, x)
    assert found.data_ptr() != x.data_ptr()


def test_an_orthonormal_basis_spans_the_rows_and_counts_their_rank():
    vectors = normal(4, D, seed=8)
    vectors[2] = vectors[0] - 2 * vectors[1]
    found = operators.orthonormal(vectors)
    assert len(found) == 3
    assert close(found @ found.T, torch.eye(3, dtype=torch.float64))
    assert close(operators.project_out_subspace(vectors, found), torch.zeros_like(vectors))
    assert not close(operators.project_out_subspace(vectors, found[:2]), torch.zeros_like(vectors))
    assert operators.orthonormal(torch.zeros(2, D)).shape == (0, D)


def test_a_basis_that_is_not_orthonormal_is_refused(basis):
    operators.require_orthonormal(basis, "basis")
    slanted = torch.stack([basis[0], (basis[0] + basis[1]) / 2**0.5])
    for wrong, says in [
        (2 * basis, "orthonormal"),
        (slanted, "orthonormal"),
        (basis * float("nan"), "orthonormal"),
        (basis[0], r"shape \[k, d\]"),
        (basis[:0], r"shape \[k, d\]"),
    ]:
        with pytest.raises(UserError, match=says) as caught:
            operators.require_orthonormal(wrong, "basis")
        assert "\n" not in str(caught.value)


def test_no_edit_changes_its_input(x, unit, basis):
    before = x.clone()
    every = [
        operators.project_out(x, unit),
        operators.project_out_subspace(x, basis),
        operators.affine_erase(x, basis, basis, normal(3, seed=9)),
        operators.set_component_above(x, unit, -9.0, -9.0),
        operators.set_component_above(x, unit, -9.0, 1.0),
        operators.add_along(x, unit, 1.0),
        operators.replace(x, x + 1),
        operators.on_columns(torch.neg, x, torch.ones(5, 7, dtype=torch.bool)),
    ]
    for found in every:
        assert not torch.equal(found, before)
        found.add_(1)  # no memory is shared
    assert torch.equal(x, before)
