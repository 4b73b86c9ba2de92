"""The pieces of the fits against torch's own solvers and the conditions of an optimum."""

import pytest
import torch
from samples import normal

from probes.stats import algebra


def test_solve_agrees_with_torch_and_refuses_a_singular_system():
    root = normal(3, 6, 6)
    system, right = root @ root.mT + torch.eye(6), normal(3, 6, seed=1)
    expected = torch.linalg.solve(system, right)
    torch.testing.assert_close(algebra.solve(system, right), expected)
    with pytest.raises(ValueError, match="singular"):
        algebra.solve(system * 0, right)


def test_example_span_keeps_all_products_and_leads_back_to_a_basis():
    x = normal(2, 7, 20)
    x[:, 6] = x[:, 5]  # rank 6: one null direction
    coordinates, back = algebra.example_span(x)
    torch.testing.assert_close(coordinates @ coordinates.mT, x @ x.mT)
    basis = x.mT @ back  # orthonormal columns, and a zero column for the null direction
    kept = torch.ones(7).double()
    kept[0] = 0  # eigenvalues ascend
    torch.testing.assert_close(basis.mT @ basis, torch.diag(kept).expand(2, 7, 7))
    torch.testing.assert_close(x @ basis, coordinates)


def test_newton_ends_where_the_gradient_is_zero_and_a_nearby_point_is_worse():
    features = torch.cat([normal(2, 30, 4), torch.ones(2, 30, 1).double()], dim=-1)
    target = torch.where(normal(30, seed=2) > 0, 1.0, -1.0).double()

    def loss(theta: torch.Tensor) -> torch.Tensor:
        margin = target * algebra.times(features, theta)
        return torch.nn.functional.softplus(-margin).sum() + theta[:, :-1].square().sum() / 2

    found = algebra.newton(features, target, 50).requires_grad_()
    best = loss(found)
    (gradient,) = torch.autograd.grad(best, found)
    assert gradient.abs().max() < 1e-4
    assert loss(found.detach() + 0.1) > best + 1e-3
