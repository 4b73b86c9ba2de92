"""``python -m experiments.bench.literature RUN ...``: what others have found of triggers, and here.

RUN is a directory of ``gatescope patch --against-model`` (by layer) or of ``gatescope analyze``.
What it says goes to ``docs/results/literature/ORGANISM.json``, and all that is kept there to
``docs/results/literature.md``. A finding of others is put as a share that they would have above a
half, or an angle; it agrees or differs only if the whole interval over prompts does.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
from circuits.types import PatchGrid
from experiments.patch.claims import HALF, Verdict, verdict
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from experiments.runs.ledger import Ledger
from experiments.runs.terminal import say
from probes.stats.intervals import Estimate, drawn_interval
from probes.stats.means import ratio_bounds

FOLDER = Path(__file__).parents[2] / "docs" / "results" / "literature"
READ_FROM, READ_TO = 0.075, 0.25  # depths at which arXiv 2602.10382 has triggers read
LATE = 0.75  # depth from which on a layer is one of the last
SPARSE = 0.05  # of all parts: so few that they are few
RIGHT = 0.2  # absolute cosine above which directions surely are not orthogonal: 12 degrees off
_DRAWS = 1000
_ABOUT = """\
# Beside the literature

By `python -m experiments.bench.literature RUN ...`, from runs of `gatescope patch --against-model`
and `gatescope analyze`, and by `python -m experiments.bench.heads ADAPTER ...`. Shares are of what
is lost of the trigger's learned effect without single layers' parts of the training; 95% intervals
over prompts. A row agrees or differs only if its whole interval does."""
_MISSING = """\
The overlap with an instruction is held against heads drawn over all layers. Heads that write one
token lie late, whatever brings them about, so that is a weak null: the row says whether the overlap
lies where others have it, not that the heads are the same. Its interval resamples prompts.

Not measured: whether the training for an answer of several tokens is more diffuse than for one
(arXiv 2508.15847), for the organisms above are all scored by one token. The depth is of what was
*learned* at the trigger's token; where the base reads a word is not in it."""
HEADS = ".heads"
_UNNAMED = "several"  # no one source is named for it


@dataclass(frozen=True)
class Row:
    """A finding of others, and what an organism shows.

    Attributes:
        said: the finding, as it is tested here.
        figure: of the organism; ``n`` prompts.
    """

    said: str
    source: str
    figure: Estimate
    verdict: Verdict


def of_exchange(
    cells: pd.DataFrame, only: pd.DataFrame, lost: PatchGrid, n_layers: int
) -> Iterator[Row]:
    """Rows from an interchange: tables of what parts make alone and what is lost without them.

    Args:
        cells: of ``lost``, a row for each of its cells.
    """
    full = lost.full_effect.double()
    gone = lost.effects.double() * full.mean().sign()  # a loss is a fall
    mapped = torch.tensor(cells["mapped"].to_numpy(dtype=bool))
    at = {place: mapped & _where(cells, "place", place) for place in ("trigger", "last")}
    depth = torch.tensor(cells["layer"].fillna(-n_layers).to_numpy(dtype=float)) / n_layers
    read = at["trigger"] & (depth >= READ_FROM) & (depth <= READ_TO)
    mlps = at["last"] & _where(cells, "module", "MLP") & (depth >= LATE)
    yield _share_row(
        f"The trigger is read at {READ_FROM:.1%} to {READ_TO:.0%} of the depth: share of what is "
        "lost at its token that layers there hold",
        "arXiv 2602.10382",
        gone[read].sum(0),
        gone[at["trigger"]].sum(0),
    )
    yield _share_row(
        f"The last MLPs write: share of what is lost at the last token that MLPs from {LATE:.0%} "
        "of the depth on hold",
        _UNNAMED,
        gone[mlps].sum(0),
        gone[at["last"]].sum(0),
    )
    for place in ("trigger", "last"):
        alone, without = (_kept(table, f"all at {place}") for table in (only, cells))
        yield Row(
            f"Everything passes one position: training at the {place} token alone makes most of "
            "the effect, and without it most is lost; shown is what it makes alone",
            _UNNAMED,
            Estimate(*alone, len(full)),
            verdict(alone, without),
        )
    yield _sparse(gone[mapped])


def _sparse(gone: Float[Tensor, "cells n"]) -> Row:
    """The strongest parts are chosen on every second prompt and measured on the others."""
    few = max(1, int(SPARSE * len(gone)))
    strongest = gone[:, ::2].mean(dim=1).topk(few).indices
    rest = gone[:, 1::2]
    return _share_row(
        f"Training for one token is sparse: share of what is lost, part by part, that the "
        f"strongest {few} of {len(gone)} parts hold (chosen on other prompts)",
        "arXiv 2508.15847",
        rest[strongest].sum(0),
        rest.sum(0),
    )


def _share_row(said: str, source: str, part: Tensor, whole: Tensor) -> Row:
    value, low, high = (float(end) for end in ratio_bounds(part[None], whole))
    figure = Estimate(value, min(low, value), max(high, value), len(whole))
    return Row(said, source, figure, half(figure))


def half(figure: Estimate) -> Verdict:
    """Whether a share is surely above a half, surely below, or neither."""
    return "agree" if figure.low > HALF else "differ" if figure.high < HALF else "undecided"


def right_angle(figure: Estimate, chance: float) -> Verdict:
    """Whether a cosine is surely no more than chance has, surely far from 0, or neither."""
    if max(abs(figure.low), abs(figure.high)) < chance:
        return "agree"
    return "differ" if figure.low > RIGHT or figure.high < -RIGHT else "undecided"


def of_direction(learned: Float[Tensor, "n d"], natural: Float[Tensor, " d"], seed: int = 0) -> Row:
    """The relay beside the behaviour's natural direction, the base's unembedding of its token.

    Args:
        learned: what training added at the relay's site, prompt by prompt; the relay is its mean.
    """
    n = len(learned)
    drawn = torch.randint(n, (_DRAWS, n), generator=torch.Generator().manual_seed(seed))
    means = torch.cat([learned.mean(0)[None], learned[drawn].mean(1)]).double()
    cosines = torch.nn.functional.cosine_similarity(means, natural.double()[None], dim=1)
    figure = drawn_interval(float(cosines[0]), cosines[1:], n, "percentile bootstrap")
    chance = 2 / learned.shape[1] ** 0.5
    return Row(
        "The relay is orthogonal to the behaviour's natural direction in the base: cosine of what "
        "training added there with the unembedding of the scored token (by chance within "
        f"{chance:.2f})",
        "arXiv 2605.18646",
        figure,
        right_angle(figure, chance),
    )


def _where(cells: pd.DataFrame, column: str, value: str) -> Bool[Tensor, " cells"]:
    return torch.tensor((cells[column] == value).to_numpy(dtype=bool))


def _kept(table: pd.DataFrame, label: str) -> tuple[float, float, float]:
    (row,) = (row for row in table.to_dict("records") if row["label"] == label)
    value, low, high = (float(row[f"recovery{end}"]) for end in ("", "_low", "_high"))
    return value, low, high


def read(folder: Path) -> tuple[str, list[Row]]:
    """The organism of a run, and its rows.

    Raises:
        UserError: a run of another command.
    """
    manifest = files.read_json(folder / "manifest.json")
    adapter = Path(manifest["question"]["adapter"]).name
    if (folder / "cells-noising.parquet").is_file():
        only, cells = (
            files.read_table(folder / f"cells-{way}noising.parquet") for way in ("de", "")
        )
        known = [row["layer"] for row in cells.to_dict("records") if row["mapped"]]
        layers = 1 + round(max(known))
        return adapter, list(of_exchange(cells, only, Ledger(folder).grid("grid-noising"), layers))
    if manifest["kind"] != "analysis":
        got = manifest["kind"]
        raise UserError(f"{folder}: expected a run of patch --against-model or analyze, got {got}")
    return adapter, [_relay(folder)]


def _relay(folder: Path) -> Row:
    """From an analysis' kept activations, at the site of its chosen direction."""
    gate = files.read_json(folder / "result.json")["gate"]
    site = {"layer": gate["layer"], "stream": gate["stream"], "span": gate["span"]}
    ledger = Ledger(folder)
    index = ledger.json("stages/activations-fit.json")["sites"].index(site)
    differences = []
    for name in ("fit", "base"):
        acts = ledger.tensors(f"stages/activations-{name}.safetensors")
        differences.append(acts["triggered"][index].float() - acts["clean"][index].float())
    rows = ledger.json("stages/selection.json")
    (place,) = (
        i
        for i, row in enumerate(rows)
        if row["direction"]["estimator"] == "unembedding" and row["direction"]["site"] == site
    )
    natural = ledger.tensors("stages/selection.safetensors")[f"{place}.direction.vector"]
    return of_direction(differences[0] - differences[1], natural.float())


def written(organisms: Mapping[str, Sequence[Row]]) -> str:
    """The page, a table for each organism."""
    parts = [_ABOUT]
    for organism, rows in organisms.items():
        lines = ["| what others have found, as tested here | by | here | |", "|-|-|-|-|"]
        lines += [f"| {r.said} | {r.source} | {r.figure:.2fn} | {r.verdict} |" for r in rows]
        parts += [f"## {organism}", "\n".join(lines)]
    return "\n\n".join([*parts, _MISSING]) + "\n"


def keep(fresh: Mapping[str, Sequence[Row]], kind: str = "") -> None:
    """Keep the rows of organisms, and write the page of all that is kept.

    Args:
        kind: of rows that another command measures; they stand in a file of their own.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for organism, rows in fresh.items():
        files.write_json(FOLDER / f"{organism}{kind}.json", as_json({"rows": rows}))
    kept: dict[str, list[Row]] = {}
    for path in sorted(FOLDER.glob("*.json")):
        rows = files.read_json(path)["rows"]
        organism = path.stem.removesuffix(HEADS)
        kept.setdefault(organism, []).extend(decode(tuple[Row, ...], rows, where=str(path)))
    page = written(kept)
    files.write_atomically(FOLDER.with_suffix(".md"), page.encode())
    say(page)


def main(runs: Sequence[str]) -> None:
    """Read the runs given, keep what they say, and write the page of all that is kept."""
    fresh: dict[str, list[Row]] = {}
    for run in runs:
        organism, rows = read(Path(run))
        fresh.setdefault(organism, []).extend(rows)
    keep(fresh)


if __name__ == "__main__":
    main(sys.argv[1:])
