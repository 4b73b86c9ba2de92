"""Pure tensor maths of every intervention. Each function returns a new tensor.

Directions are unit vectors ``[d]``; activations are ``[..., d]``.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
from circuits.types import Apply

Activation = Float[Tensor, "*batch d"]


def project_out(x: Activation, direction: Float[Tensor, " d"]) -> Activation:
    """Remove the component along a unit direction: idempotent, rank one, self-adjoint."""
    return x - (x @ direction).unsqueeze(-1) * direction


def project_out_subspace(x: Activation, basis: Float[Tensor, "k d"]) -> Activation:
    """Remove the components in the span of orthonormal rows."""
    return x - (x @ basis.T) @ basis


def affine_erase(
    x: Activation,
    read: Float[Tensor, "k d"],
    write: Float[Tensor, "k d"],
    level: Float[Tensor, " k"],
) -> Activation:
    """Move the readings ``read @ x`` to ``level`` by changing ``x`` along the rows of ``write``.

    With ``read @ write.T`` the identity this is idempotent and of rank k. Equal orthonormal rows
    and level zero are :func:`project_out_subspace`; other readings make it oblique.
    """
    return x - (x @ read.T - level) @ write


def scale_component(
    x: Activation, direction: Float[Tensor, " d"], coefficient: float
) -> Activation:
    """Scale the component along a unit direction: 0 projects it out, 1 keeps it, more amplifies."""
    return x + (coefficient - 1) * (x @ direction).unsqueeze(-1) * direction


def set_component_above(
    x: Activation, direction: Float[Tensor, " d"], level: float, value: float
) -> Activation:
    """Set the component to ``value`` where it exceeds ``level``; leave other activations alone.

    With the two equal, the component is clamped.
    """
    along = x @ direction
    moved = torch.where(along > level, value - along, torch.zeros_like(along))
    return x + moved.unsqueeze(-1) * direction


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


def orthonormal(vectors: Float[Tensor, "n d"], tolerance: float = 1e-9) -> Float[Tensor, "k d"]:
    """An orthonormal basis of the rows' span, largest singular value first.

    Singular values up to ``tolerance`` times the largest count as zero, so k is the rank.
    """
    _, sizes, rows = torch.linalg.svd(vectors, full_matrices=False)
    return rows[sizes > tolerance * sizes.max().clamp(min=torch.finfo(sizes.dtype).tiny)]


def require_orthonormal(basis: Float[Tensor, "k d"], what: str) -> None:
    """Refuse rows that are no orthonormal basis (to 1e-3, as fp32 and bf16 files round).

    Raises:
        UserError: the shape or the products of the rows are wrong.
    """
    if basis.ndim != 2 or not 1 <= basis.shape[0] <= basis.shape[1]:
        raise UserError(f"{what}: expected a basis of shape [k, d], got {tuple(basis.shape)}")
    gram = basis.double() @ basis.double().T
    error = float((gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max())
    if not error < 1e-3:
        raise UserError(
            f"{what}: expected orthonormal rows, got products that differ from the identity by "
            f"{error:.2g}; use circuits.edits.operators.orthonormal(vectors)"
        )
