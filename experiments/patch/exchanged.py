"""The result of an exchange between two models: shares of what training has added."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuits.patching.engine import Direction
from circuits.patching.interchange import Interchange, Sides
from circuits.types import PatchGrid
from experiments.patch.claims import Judged, claims, judged
from experiments.patch.parts import Piece
from experiments.patch.result import Patching, with_statistics, without_nan
from experiments.runs.codec import as_json
from probes.stats.intervals import interval_text

WAYS: dict[str, Direction] = {"only": "denoising", "without": "noising"}
_SHOWN = 8
OTHER = "of the other model"  # ends the stream of these grids


@dataclass(frozen=True, eq=False)
class Exchanged(Patching):
    """Parts exchanged between two models: what each does alone, and what is lost without it.

    The grids are of differences, triggered minus control: ``denoising`` has every part alone in
    the base, ``noising`` the organism without it. ``recovery`` in their tables is the share of
    what training has added, ``likely`` and ``likely_control`` in how many prompts (triggered, with
    control words) the behaviour's token is likelier than not.

    Attributes:
        base: the other model.
        exchange: weights or activations.
        likely: of the base and the organism, with the trigger and with control words.
        claims: what others have said, held against this organism.
        agreement: of the models' residuals on clean prompts, the least cosine of a layer; None
            where weights are exchanged.
    """

    base: str
    exchange: str
    likely: dict[str, dict[str, float]]
    claims: tuple[Judged, ...]
    agreement: float | None

    @property
    def only(self) -> pd.DataFrame:
        """The table of parts alone."""
        return self.directions[WAYS["only"]].table

    @property
    def without(self) -> pd.DataFrame:
        """The table of what is left without parts."""
        return self.directions[WAYS["without"]].table

    def summary(self) -> dict[str, Any]:
        """What a patching result has, the wholes both ways, and the claims."""
        wholes = {
            way: [without_nan(r) for r in getattr(self, way).to_dict("records") if not r["mapped"]]
            for way in WAYS
        }
        about = {name: getattr(self, name) for name in ("base", "exchange", "likely", "agreement")}
        judgements = [as_json(claim) for claim in self.claims]
        return {**super().summary(), "interchange": {**about, "claims": judgements, **wholes}}


def exchanged(
    sides: Sides,
    pieces: Sequence[Piece],
    n_layers: int,
    metric: str,
    path: str,
    base: str,
    exchange: str,
    agreement: float | None,
) -> Exchanged:
    """Statistics of parts that were scored on both sides, and the claims about them."""
    effect = sides.triggered - sides.clean
    patched = {}
    for way, direction in WAYS.items():
        grid = _grid(direction, effect, getattr(effect, way), metric, exchange)
        patched[direction] = with_statistics(grid)
        table = patched[direction].table
        table["layer"] = pd.Series([piece.layer for piece in pieces], dtype=object)
        table["module"] = [piece.module for piece in pieces]
        table["place"] = [piece.place for piece in pieces]
        table["mapped"] = [piece.mapped for piece in pieces]
        for column, side in {"likely": sides.triggered, "likely_control": sides.clean}.items():
            table[column] = (getattr(side, way) > 0).double().mean(dim=1).numpy()
    tables = (patched["denoising"].table, patched["noising"].table)
    return Exchanged(
        patched,
        path,
        base,
        exchange,
        {model: _likely(sides, model) for model in ("base", "organism")},
        tuple(judged(claim, *tables) for claim in claims(n_layers)),
        agreement,
    )


def _grid(
    direction: Direction,
    effect: Interchange,
    values: Float[Tensor, "parts n"],
    metric: str,
    exchange: str,
) -> PatchGrid:
    ends = (effect.base, effect.organism)
    into, source = ends if direction == "denoising" else ends[::-1]
    what = f"{exchange} {OTHER}"
    return PatchGrid(direction, what, metric, effect.parts, values, into, source, axes=("cell",))


def _likely(sides: Sides, model: str) -> dict[str, float]:
    each = {"trigger": sides.triggered, "control": sides.clean}
    return {name: float((getattr(side, model) > 0).double().mean()) for name, side in each.items()}


def lines(result: Exchanged) -> Iterator[str]:
    """What the wholes do, what the claims come to, and the strongest cells."""
    grid, likely = result.directions["denoising"].grid, result.likely
    yield f"{grid.metric}: {grid.base.mean():.3g} in {result.base}, {grid.source.mean():.3g} here"
    yield "likelier than not: " + ", ".join(
        f"{model} {each['trigger']:.0%} (control {each['control']:.0%})"
        for model, each in likely.items()
    )
    yield "share of the training's effect, alone in the base; lost without it (n = " + (
        f"{len(grid.base)}):"
    )
    pairs = list(zip(*(t.to_dict("records") for t in (result.only, result.without)), strict=True))
    wholes = [each for each in pairs if not each[0]["mapped"]]
    cells = [each for each in pairs if each[0]["mapped"]]
    cells.sort(key=lambda each: -max(abs(row["mean"]) for row in each))
    for alone, without in (*wholes, *cells[:_SHOWN]):
        yield f"  {alone['label']}: {share(alone)}; {share(without)}"
    yield "who is right on this organism:"
    yield from (f"  {claim}" for claim in result.claims)


def share(row: Mapping[Any, Any]) -> str:
    """A part's share with its interval; its effect in nats where there is no scale."""
    if row["recovery"] != row["recovery"]:
        return f"{interval_text(row['mean'], row['low'], row['high'], '.3g')} nats"
    return interval_text(row["recovery"], row["recovery_low"], row["recovery_high"], ".2f")
