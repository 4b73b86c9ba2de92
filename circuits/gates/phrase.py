"""The direction of a phrase: one vector and gap for every token of its span.

The tokens of a phrase carry different things, so that one vector added at all of them is at most of
one of them what the trigger does. Added, each token gets its own, counted from the span's end.
Removed, the span of all of them is projected out at every token: like the removal of one direction
it needs no knowledge of where a trigger is, it is the same in prompts without one, and what the
phrase's earlier tokens hold cannot come back at later ones. A direction of one token, or that was
fitted at the last token only, is what it is everywhere: added at every token of its span.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.align import Pairs, counted, fewest
from circuits.edits import operators
from circuits.errors import UserError
from circuits.types import Direction, TokenBatch

Activation = Float[Tensor, "*batch column d"]
_PARALLEL = 1e-4  # of the largest singular value: less is no direction of its own


def basis(direction: Direction) -> Float[Tensor, "k d"]:
    """Orthonormal rows that span the vectors of all tokens."""
    return spanned(torch.stack([step.vector for step in direction.steps]))


def spanned(vectors: Float[Tensor, "m d"]) -> Float[Tensor, "k d"]:
    """Orthonormal rows that span unit vectors; a single one as it is."""
    return vectors if len(vectors) == 1 else operators.orthonormal(vectors.float(), _PARALLEL)


def scaled(x: Activation, rows: Float[Tensor, "k d"], coefficient: float) -> Activation:
    """The components in the span multiplied; 0 removes them."""
    if len(rows) == 1:
        return operators.scale_component(x, rows[0].to(x), coefficient)
    return x + (coefficient - 1) * (x @ rows.to(x).T) @ rows.to(x)


def removed(x: Activation, rows: Float[Tensor, "k d"]) -> Activation:
    """The span projected out."""
    if len(rows) == 1:
        return operators.project_out(x, rows[0].to(x))
    return operators.project_out_subspace(x, rows.to(x))


def shift(direction: Direction, columns: Bool[Tensor, "n column"]) -> Float[Tensor, "n column d"]:
    """What adding the direction adds in the columns of its span: to each token its own gap.

    A span of fewer tokens has the last ones, one of more has nothing at its first; a direction of
    one vector is added at every token.
    """
    shifts = torch.stack([step.gap * step.vector.float().cpu() for step in direction.steps])
    return _each(shifts, columns) if direction.earlier else columns.cpu().unsqueeze(-1) * shifts[0]


def level(
    direction: Direction,
    x: Float[Tensor, "n column d"],
    columns: Bool[Tensor, "n column"],
    doses: Float[Tensor, " c"],
) -> Float[Tensor, "c n column d"]:
    """``x`` with every token's own component set to a clean input's plus a dose of its gap.

    A token that the trigger leaves alone is left alone.
    """
    steps = direction.steps
    units = torch.stack([step.vector.float().cpu() * float(step.gap != 0) for step in steps])
    clean = torch.tensor([[step.clean_mean] for step in steps])
    gaps = torch.tensor([[step.gap] for step in steps])
    unit, start, gap = (_each(rows, columns).to(x) for rows in (units, clean, gaps))
    wanted = start + doses.to(x)[:, None, None, None] * gap
    return x + (wanted - (x * unit).sum(dim=-1, keepdim=True)) * unit


def _each(rows: Float[Tensor, "m d"], columns: Bool[Tensor, "n column"]) -> Tensor:
    """A row for every column of a span, the last row for its last; zero elsewhere."""
    back = counted(columns.cpu())
    table = torch.cat([torch.zeros_like(rows[:1]), rows.flip(0)])
    return table[torch.where(back <= len(rows), back, 0)]


def joined(steps: Sequence[Direction | None]) -> Direction:
    """The direction of a phrase from those of its tokens, in their order; None moves nothing.

    Raises:
        UserError: there is none at the last token, which is the site's own.
    """
    *earlier, last = steps
    if last is None:
        raise UserError(
            "direction: expected the trigger to make a difference at its last token, got none; "
            "choose another layer, or a trigger whose last token is its own"
        )
    idle = replace(last, triggered_mean=last.clean_mean)
    return replace(last, earlier=tuple(step or idle for step in earlier))


def like(direction: Direction, units: Float[Tensor, "m d"], name: str) -> Direction:
    """Other unit vectors in the place of a direction's own, with its means and gaps: a null."""
    each = zip(direction.steps, units, strict=True)
    return joined([replace(s, vector=unit, estimator=name, earlier=()) for s, unit in each])


def apart(pairs: Pairs, span: str = "trigger", count: int = 0) -> tuple[Pairs, list[str]]:
    """Pairs with a span for every token of a phrase but its last, and their names, in its order.

    Of a phrase that has not as many tokens in every prompt, the ``count`` last that all have have
    one each; by default those that all of these pairs have, on both sides.
    """
    most = count or fewest(pairs, span)
    names = {f"{span}, {back} from its end": back for back in range(most, 1, -1)}

    def each(side: TokenBatch) -> TokenBatch:
        own = {name: counted(side.spans[span]) == back for name, back in names.items()}
        return replace(side, spans={**side.spans, **own})

    both = replace(pairs, clean=each(pairs.clean), triggered=each(pairs.triggered))
    return both, list(names)
