"""The direction of a phrase: one vector and gap for every token of its span.

The tokens of a phrase carry different things, so that one vector added at all of them is at most of
one of them what the trigger does. Added, each token gets its own, counted from the span's end.
Removed, the span of all of them is projected out at every token: like the removal of one direction
it needs no knowledge of where a trigger is, it is the same in prompts without one, and what the
phrase's earlier tokens hold cannot come back at later ones. A direction of one token, or that was
fitted at the last token only, is what it is everywhere: added at every token of its span.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.edits import operators
from circuits.types import Direction, TokenBatch, TokenPairs

Activation = Float[Tensor, "*batch column d"]


def basis(direction: Direction) -> Float[Tensor, "k d"]:
    """Orthonormal rows that span the vectors of all tokens."""
    return operators.orthonormal(torch.stack([d.vector for d in direction.steps]).float(), 1e-4)


def scaled(x: Activation, direction: Direction, coefficient: float) -> Activation:
    """The components in the span multiplied; 0 removes them."""
    if not direction.before:
        return operators.scale_component(x, direction.vector.to(x), coefficient)
    rows = basis(direction).to(x)
    return x + (coefficient - 1) * (x @ rows.T) @ rows


def removed(x: Activation, direction: Direction) -> Activation:
    """The span projected out."""
    if not direction.before:
        return operators.project_out(x, direction.vector.to(x))
    return operators.project_out_subspace(x, basis(direction).to(x))


def counted(columns: Bool[Tensor, "n column"]) -> Int[Tensor, "n column"]:
    """A span's columns counted from its last, which is 1; zero elsewhere."""
    return columns.flip(1).cumsum(dim=1).flip(1) * columns


def shift(direction: Direction, columns: Bool[Tensor, "n column"]) -> Float[Tensor, "n column d"]:
    """What adding the direction adds in the columns of its span: to each token its own gap.

    A span of fewer tokens has the last ones, one of more has nothing at its first; a direction of
    one vector is added at every token.
    """
    if not direction.before:
        return columns.cpu().unsqueeze(-1) * (direction.gap * direction.vector.float().cpu())
    return _each(torch.stack([d.gap * d.vector.float().cpu() for d in direction.steps]), columns)


def level(
    direction: Direction,
    x: Activation,
    columns: Bool[Tensor, "n column"],
    doses: Float[Tensor, " c"],
) -> Float[Tensor, "c n column d"]:
    """``x`` with every token's own component set to a clean input's plus a dose of its gap."""
    units, clean, gaps = (
        _each(torch.stack(rows), columns).to(x)
        for rows in (
            [d.vector.float().cpu() for d in direction.steps],
            [torch.tensor([d.clean_mean]) for d in direction.steps],
            [torch.tensor([d.gap]) for d in direction.steps],
        )
    )
    wanted = clean + doses.to(x)[:, None, None, None] * gaps
    return x + (wanted - (x * units).sum(dim=-1, keepdim=True)) * units


def _each(rows: Float[Tensor, "m d"], columns: Bool[Tensor, "n column"]) -> Tensor:
    """A row for every column of a span, the last row for its last; zero elsewhere."""
    back = counted(columns.cpu())
    table = torch.cat([torch.zeros_like(rows[:1]), rows.flip(0)])
    return table[torch.where(back <= len(rows), back, 0)]


def like(direction: Direction, units: Float[Tensor, "m d"], name: str) -> Direction:
    """Other unit vectors in the place of a direction's own, with its means and gaps: a null."""
    each = [
        replace(step, vector=unit, estimator=name, before=())
        for step, unit in zip(direction.steps, units, strict=True)
    ]
    return replace(each[-1], before=tuple(each[:-1]))


def apart(pairs: TokenPairs, span: str = "trigger") -> tuple[TokenPairs, list[str]]:
    """Pairs with a span for every token of a phrase but its last, and their names, in its order."""
    most = int(counted(pairs.triggered.spans[span]).max())
    names = {f"{span}, {back} from its end": back for back in range(most, 1, -1)}

    def each(side: TokenBatch) -> TokenBatch:
        own = {name: counted(side.spans[span]) == back for name, back in names.items()}
        return replace(side, spans={**side.spans, **own})

    return TokenPairs(each(pairs.clean), each(pairs.triggered)), list(names)
