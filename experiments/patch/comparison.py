"""``python -m experiments.patch.comparison [RUN ...]``: one page over the organisms' interchanges.

A run's ``result.json`` is kept in ``docs/results/interchange``, under its adapter's name and with
its strongest single layers; ``docs/results/interchange.md`` is made from all that are kept there.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from circuits.errors import expect
from experiments.options import command_line
from experiments.patch.exchanged import WAYS, share
from experiments.patch.parts import ATTENTION
from experiments.patch.question import PatchQuestion
from experiments.patch.result import SCHEMA
from experiments.runs.codec import decode
from experiments.runs.kept import RESULTS, keep, kept, listed, ordered, table
from experiments.runs.ledger import Ledger
from experiments.runs.read import result
from experiments.runs.terminal import say

Results = Mapping[str, Mapping[str, Any]]  # by organism
PAGE = RESULTS / "interchange.md"
_SHOWN = 6  # layers
_LATE_LABEL = f"{ATTENTION} of layer"  # begins the name of ``parts.late_name``
_LATE = "attention of layers 23 and 24 of 30, or at that depth"
_COLUMNS = ("label", "mean", "low", "high", "recovery", "recovery_low", "recovery_high")

_ABOUT = """# Interchange: which part of the training carries the trigger

By `python -m experiments.patch.comparison RUN ...`. What training has changed is switched on part \
by part in the base (*alone*) and off part by part in the organism (*lost without it*), on the \
same prompts with the trigger and with control words; exact, nothing is fitted. A share is of what \
the whole training adds to the log-odds of the answer's first token that tells the behaviour from \
usual answers, triggered minus control; 95% intervals over prompts (Fieller, widened for \
skewness). *Likely*: in how many triggered prompts that token is likelier than not."""
_RIGHT = """## Who is right

A part is said to carry the trigger if it alone makes more than half of the effect and more than \
half is lost without it, both at the worse end of their intervals (agree); it does not if either \
is less than half at the better end (differ)."""


def main(runs: Sequence[str]) -> None:
    """Keep the runs named and write the page.

    Raises:
        UserError: a run is not finished, or is no interchange.
    """
    for run in runs:
        value = kept_of(Path(run))
        keep(PAGE, Path(value["question"]["adapter"]).name, value)
    PAGE.write_text(page(kept(PAGE)))
    say(f"page: {PAGE}")


def kept_of(folder: Path) -> dict[str, Any]:
    """A run's result, with its strongest single layers where it has any."""
    value, ledger = result(folder, SCHEMA, "patch"), Ledger(folder)
    between = "interchange" in value
    expect(between, "an exchange between models", "a run without", of=str(folder))
    layers = {}
    for way, grid in WAYS.items():
        rows = ledger.rows(f"cells-{grid}.parquet").to_dict("records")
        single = sorted((row for row in rows if row["mapped"]), key=lambda r: -r["recovery"])
        if single:
            layers[way] = [{name: row[name] for name in _COLUMNS} for row in single[:_SHOWN]]
    return value | ({"layers": layers} if layers else {})


def page(results: Results) -> str:
    """The page over organisms' results by name."""
    results = ordered(results)
    effects = [_effect(name, value) for name, value in results.items()]
    paragraphs = [
        _ABOUT,
        table(("organism", "model", "trigger", "n", *_EFFECT), effects),
        "Shares alone:",
        _shares(results, "only"),
        "Shares lost without it:",
        _shares(results, "without"),
        "Triggered prompts in which the token is likelier than not, alone / without:",
        table(("organism", *_parts(results)), _likely(results)),
        _RIGHT,
        table(("organism", *_claimed(results)), _verdicts(results)),
        "## Single layers",
        *(_layers(name, each["layers"]) for name, each in results.items() if "layers" in each),
        "## Commands and results",
        listed(PAGE, {name: command(each["question"]) for name, each in results.items()}),
    ]
    return "\n\n".join(paragraphs) + "\n"


def command(question: dict[str, Any]) -> str:
    """What a run was asked with."""
    return command_line("patch", decode(PatchQuestion, question))


def _part(label: str) -> str:
    """One column for the layers that were named, whichever those are in a model."""
    return _LATE if label.startswith(_LATE_LABEL) else label


_EFFECT = ("base, nats", "organism, nats", "likely in the base", "in the organism", "with control")


def _effect(name: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    grid, likely = value["grids"]["denoising"], value["interchange"]["likely"]
    often = (likely["base"]["trigger"], *(likely["organism"][w] for w in ("trigger", "control")))
    question = value["question"]
    return (
        f"`{name}`",
        Path(question["model"]).stem,
        question["trigger"],
        str(grid["n"]),
        *(f"{grid[end]:.2f}" for end in ("base", "source")),
        *(f"{share:.0%}" for share in often),
    )


def _parts(results: Results) -> list[str]:
    rows = [row for value in results.values() for row in value["interchange"]["only"]]
    return list(dict.fromkeys(_part(row["label"]) for row in rows))


def _shares(results: Results, way: str) -> str:
    parts = _parts(results)
    rows = []
    for name, value in results.items():
        by_part = {_part(row["label"]): share(_whole(row)) for row in value["interchange"][way]}
        rows.append((f"`{name}`", *(by_part.get(part, "–") for part in parts)))
    return table(("organism", *parts), rows)


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """A row with NaN where JSON has null, as ``share`` takes it."""
    return {name: float("nan") if value is None else value for name, value in row.items()}


def _likely(results: Results) -> Iterable[tuple[str, ...]]:
    for name, value in results.items():
        alone, without = (
            {_part(row["label"]): row["likely"] for row in value["interchange"][way]}
            for way in WAYS
        )
        cells = (
            f"{alone[part]:.0%} / {without[part]:.0%}" if part in alone else "–"
            for part in _parts(results)
        )
        yield f"`{name}`", *cells


def _claimed(results: Results) -> list[str]:
    claims = [claim for value in results.values() for claim in value["interchange"]["claims"]]
    return list(dict.fromkeys(_claim(claim) for claim in claims))


def _verdicts(results: Results) -> Iterable[tuple[str, ...]]:
    for name, value in results.items():
        claims = value["interchange"]["claims"]
        verdicts = {_claim(claim): claim["verdict"] for claim in claims}
        yield f"`{name}`", *(verdicts.get(claim, "–") for claim in _claimed(results))


def _claim(claim: dict[str, Any]) -> str:
    return f"{_part(claim['part'])} ({claim['source']})"


def _layers(name: str, layers: dict[str, list[dict[str, Any]]]) -> str:
    alone, lost = (
        "; ".join(f"{row['label']} {share(_whole(row))}" for row in layers[way]) for way in WAYS
    )
    return f"`{name}`, alone: {alone}.\n\n`{name}`, most lost without one: {lost}."


if __name__ == "__main__":
    main(sys.argv[1:])
