"""The erasure family: what can be done to a direction or subspace of the residual stream.

Every member is a frozen, callable record that is a pure function of activations ``[..., d]`` and
becomes a :class:`circuits.types.Edit` at a point with :meth:`Intervention.edit`:

- ``projection``: orthogonal, rank k; needs an orthonormal basis only;
- ``mean_ablation``: sets the components in a subspace to those of a reference, as the clean mean;
- ``leace``: fitted on labelled activations; afterwards no linear probe beats a constant on them;
- ``mean_difference_erasure``: the same along the difference of class means, towards the clean mean;
- ``steering`` and ``clamping``: adds along a unit direction, or lowers what exceeds a ceiling.

The first four are one map, ``x - (read @ x - level) @ write``, with different readings. An eraser
must write along the class means' differences (or they stay); what it reads is free, and LEACE reads
what makes the mean squared change smallest (Belrose et al. 2023, arXiv 2306.03819, section 4). In
the paper that is ``W^+ (W S)(W S)^+ W`` with the whitening ``W``, the square root of the inverse
covariance; with an orthonormal basis U of the label covariances S it equals
``U (U' C^-1 U)^-1 U' C^-1``, which needs no square root and is computed here.

The paper's own package (concept-erasure 0.2.4) gives the same results without shrinkage. It is not
used because its shrinkage is all or nothing, and because it cuts singular values off at a fixed
absolute size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.edits import operators
from circuits.errors import UserError
from circuits.types import Edit, Point

Activation = Float[Tensor, "*batch d"]
Labels = Bool[Tensor, " n"] | Int[Tensor, " n"]
# Class means closer than this share of the activations' spread differ by rounding only.
_COINCIDE = 1e-9


class Intervention(ABC):
    """A pure function on activations with a name, which can be placed at a point."""

    name: str

    def __call__(self, x: Activation, /) -> Activation:
        """A new tensor of the same shape, dtype and device; computed in fp32 at least."""
        return self._changed(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)

    @abstractmethod
    def _changed(self, x: Activation) -> Activation:
        """The function itself, on fp32 or fp64."""

    def edit(
        self, point: Point, columns: Bool[Tensor, "batch pos"] | None = None, onward: bool = False
    ) -> Edit:
        """This function as an edit; ``columns`` and ``onward`` as in :class:`Edit`."""
        return Edit(point, self, columns, onward)


@dataclass(frozen=True)
class Eraser(Intervention):
    """``x - (read @ x - level) @ write``: idempotent, of rank k, affine.

    Attributes:
        name: of the fitter.
        read: what is measured; ``read @ write.T`` is the identity.
        write: orthonormal rows along which activations change.
        level: the readings of every erased activation; those that have them stay as they are.
    """

    name: str
    read: Float[Tensor, "k d"]
    write: Float[Tensor, "k d"]
    level: Float[Tensor, " k"]

    def __post_init__(self) -> None:
        if self.read.shape != self.write.shape or self.level.shape != self.read.shape[:1]:
            shapes = [tuple(t.shape) for t in (self.read, self.write, self.level)]
            raise UserError(f"eraser {self.name}: expected [k, d], [k, d] and [k], got {shapes}")
        products = self.read.double() @ self.write.double().T
        error = products - torch.eye(self.rank, dtype=products.dtype, device=products.device)
        if not bool((error.abs() < 1e-3).all()):
            raise UserError(
                f"eraser {self.name}: expected read @ write.T to be the identity, got one that "
                f"differs by {float(error.abs().max()):.2g}; it would not be idempotent"
            )

    @property
    def rank(self) -> int:
        """How many dimensions are erased; 0 leaves every activation as it is."""
        return self.read.shape[0]

    def toward(self, reference: Float[Tensor, " d"]) -> "Eraser":
        """The same eraser, moving every activation to the readings of ``reference``."""
        level = self.read.double() @ reference.to(self.read.device, torch.float64)
        return replace(self, level=level.to(self.level))

    def _changed(self, x: Activation) -> Activation:
        return operators.affine_erase(x, self.read.to(x), self.write.to(x), self.level.to(x))


@dataclass(frozen=True)
class Along(Intervention):
    """An operator of ``circuits.edits.operators`` along a unit direction.

    Attributes:
        amount: what the operator takes, in residual units.
    """

    name: str
    unit: Float[Tensor, " d"]
    amount: float
    operator: Callable[[Activation, Float[Tensor, " d"], float], Activation]

    def __post_init__(self) -> None:
        operators.require_orthonormal(self.unit.unsqueeze(0), self.name)

    def _changed(self, x: Activation) -> Activation:
        return self.operator(x, self.unit.to(x), self.amount)


def projection(basis: Float[Tensor, "k d"]) -> Eraser:
    """The orthogonal projection off a subspace (directional ablation, arXiv 2406.11717).

    Raises:
        UserError: the rows are not orthonormal.
    """
    operators.require_orthonormal(basis, "projection")
    rows = basis.float()
    return Eraser("projection", rows, rows, rows.new_zeros(len(rows)))


def mean_ablation(basis: Float[Tensor, "k d"], clean_mean: Float[Tensor, " d"]) -> Eraser:
    """Sets the components in a subspace to those of ``clean_mean``, whatever they were.

    Raises:
        UserError: the rows are not orthonormal.
    """
    return replace(projection(basis).toward(clean_mean), name="mean ablation")


def steering(unit: Float[Tensor, " d"], amount: float) -> Along:
    """Adds ``amount`` residual units along ``unit`` (activation addition, arXiv 2308.10248).

    A negative amount subtracts.

    Raises:
        UserError: the direction has not unit norm.
    """
    return Along("steering", unit.float(), amount, operators.add_along)


def clamping(unit: Float[Tensor, " d"], ceiling: float) -> Along:
    """Lowers the component along ``unit`` to ``ceiling`` residual units where it is larger.

    Raises:
        UserError: the direction has not unit norm.
    """
    return Along(
        "clamping",
        unit.float(),
        ceiling,
        lambda x, unit, ceiling: operators.set_component_above(x, unit, ceiling, ceiling),
    )


def leace(x: Float[Tensor, "n d"], y: Labels, shrinkage: float | None = None) -> Eraser:
    """Least-squares concept erasure (Belrose et al. 2023, arXiv 2306.03819, section 4).

    On ``(x, y)`` afterwards: the class means coincide, so the covariance with the label is zero and
    no linear classifier with convex loss beats a constant; the overall mean is kept; the map is
    idempotent of rank at most classes - 1. All of this holds at any shrinkage. Of all affine maps
    that do so, this one changes activations least, in mean square under every inner product at
    once, where activations have the (shrunk) covariance that it was fitted with.

    With fewer activations than dimensions the sample covariance is singular, and what LEACE reads
    with its pseudo-inverse is partly chance, so that it moves new activations more than it must.
    The covariance is therefore shrunk towards a multiple of the identity of equal trace. (On 48
    triggered and 48 clean activations of the embedded organism, 576 channels, at four layers, the
    default moved other clean activations 14 to 35 percent less than no shrinkage, and left as
    little of the difference between triggered and clean.)

    For an edit that is to leave clean runs alone, use ``leace(x, y).toward(clean_mean)``: the class
    means then coincide at the clean mean's readings instead of between the classes.

    Args:
        x: activations.
        y: one label each; at least two values.
        shrinkage: 0 is the paper's formula, 1 the orthogonal projection off the differences of
            class means; None takes the share of Ledoit and Wolf (2004) from the data.

    Raises:
        UserError: other shapes, one class only, values that are not finite, or a shrinkage
            outside 0..1.
    """
    classes = _checked(x, y)
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise UserError(f"leace: expected a shrinkage in 0..1, got {shrinkage}")
    exact = x.double()
    centred = exact - exact.mean(dim=0)
    means = torch.stack([centred[y == c].mean(dim=0) for c in classes])
    # The weighted means sum to zero; under a large common offset rounding can hide that.
    write = _span(means, centred)[: len(classes) - 1]
    read = _least_squares_reading(write, centred, shrinkage) if len(write) else write
    level = read.new_zeros(len(read))
    eraser = Eraser("leace", read.float(), write.float(), level.float())
    return eraser.toward(exact.mean(dim=0))


def mean_difference_erasure(x: Float[Tensor, "n d"], y: Bool[Tensor, " n"]) -> Eraser:
    """Affine erasure along the difference of two class means (ACE, arXiv 2411.09003).

    Every component along the difference becomes that of the mean of the activations labelled
    False (clean), so these keep their mean and the others move onto it. Rank one. It is
    ``leace(x, y, shrinkage=1)`` with the clean mean as the fixed point instead of the overall one.

    Raises:
        UserError: other shapes, one class only, or values that are not finite.
    """
    eraser = leace(x, y, shrinkage=1.0)
    return replace(eraser.toward(x[~y].double().mean(dim=0)), name="mean difference")


def ledoit_wolf(
    centred: Float[Tensor, "*sites n d"],
    gram: Float[Tensor, "*sites m m"],
    variance: Float[Tensor, "*sites"],
) -> Float[Tensor, "*sites"]:
    """The share of the identity in a covariance estimate that makes its expected squared error
    least, estimated from the data (Ledoit and Wolf 2004, J. Multivariate Analysis 88, 365-411).

    Between 0 (many activations) and 1; NaN where no variance differs from the mean one. ``centred``
    has column means zero, ``gram`` is either of its Gram matrices, ``variance`` the mean variance.
    """
    n, d = centred.shape[-2:]
    size = gram.square().sum((-2, -1)) / n**2  # the same for X X' and X' X
    distance = size - d * variance**2
    error = (torch.linalg.vector_norm(centred, dim=-1).pow(4).sum(-1) / n - size) / n
    return torch.where(distance > 0, error / distance, torch.nan).clamp(0, 1)


def _least_squares_reading(
    write: Float[Tensor, "k d"], centred: Float[Tensor, "n d"], shrinkage: float | None
) -> Float[Tensor, "k d"]:
    """``(U' C^-1 U)^-1 U' C^-1`` for ``U' = write`` and the shrunk covariance ``C``."""
    gram = centred.T @ centred
    covariance = gram / len(centred)
    scale = covariance.diagonal().mean()
    share = shrinkage
    if share is None:
        share = float(ledoit_wolf(centred, gram, scale).nan_to_num(0.0))
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    covariance = (1 - share) * covariance + share * scale * eye
    if share > 0:
        solved = torch.linalg.solve(covariance, write.T)
    else:  # possibly singular; the class means lie in the span of the data, so this is exact there
        solved = torch.linalg.pinv(covariance, hermitian=True) @ write.T
    return torch.linalg.solve(write @ solved, solved.T)


def _span(means: Float[Tensor, "c d"], centred: Float[Tensor, "n d"]) -> Float[Tensor, "k d"]:
    """An orthonormal basis of the class means' span; empty where they differ by rounding only."""
    spread = float(centred.square().sum(dim=1).mean().sqrt())
    if float(means.norm(dim=1).max()) <= _COINCIDE * spread:
        return means[:0]
    return operators.orthonormal(means)


def _checked(x: Float[Tensor, "n d"], y: Labels) -> list[int]:
    """The classes, after refusing what cannot be fitted."""
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise UserError(
            f"erasure: expected activations [n, d] and n labels, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise UserError("erasure: expected finite activations, got NaN or infinity")
    classes = sorted(set(y.tolist()))
    if len(classes) < 2:
        raise UserError(f"erasure: expected at least two classes, got only {classes}")
    return classes
