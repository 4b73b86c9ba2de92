"""Pure tensor maths of every intervention. Each function returns a new tensor.

Directions are unit vectors ``[d]``; activations are ``[..., d]``.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
from circuits.types import Apply, Edit, Point

Activation = Float[Tensor, "*batch d"]


def project_out(x: Activation, direction: Float[Tensor, " d"]) -> Activation:
    """Remove the component along a unit direction: idempotent, rank one, self-adjoint."""
    return x - (x @ direction).unsqueeze(-1) * direction


def project_out_subspace(x: Activation, basis: Float[Tensor, "k d"]) -> Activation:
    """Remove the components in the span of orthonormal rows."""
    return x - (x @ basis.T) @ basis


def set_component(x: Activation, direction: Float[Tensor, " d"], value: float) -> Activation:
    """Set the component along a unit direction to a constant (mean ablation along it)."""
    return x + (value - x @ direction).unsqueeze(-1) * direction


def clamp_component(x: Activation, direction: Float[Tensor, " d"], ceiling: float) -> Activation:
    """Lower the component to ``ceiling`` where it exceeds it; leave other activations alone."""
    excess = (x @ direction - ceiling).clamp(min=0)
    return x - excess.unsqueeze(-1) * direction


def add_along(x: Activation, direction: Float[Tensor, " d"], amount: float) -> Activation:
    """Steer: add ``amount`` residual units along a unit direction."""
    return x + amount * direction


def replace(x: Activation, source: Activation) -> Activation:
    """The source's values, checked to have the same shape (activation patching)."""
    if x.shape != source.shape:
        raise UserError(f"replace: expected shape {tuple(x.shape)}, got {tuple(source.shape)}")
    return source.clone()


def on_columns(fn: Apply, x: Float[Tensor, "batch pos *rest"], columns: Bool[Tensor, "batch pos"]):
    """Apply ``fn`` and keep the result only where ``columns`` is True."""
    chosen = columns.reshape(*columns.shape, *([1] * (x.ndim - 2)))
    return torch.where(chosen, fn(x), x)


def edits_at(points: list[Point], fn: Callable[[Tensor], Tensor], columns=None) -> list[Edit]:
    """The same edit at several points."""
    return [Edit(point, fn, columns) for point in points]
