"""The page of an exchange between two models."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from experiments.patch.claims import Share
from experiments.patch.exchanged import Exchanged, share
from experiments.patch.question import PatchQuestion
from experiments.patch.sections import facts
from experiments.study import Run
from probes.stats.intervals import interval_text
from viz.figures.interchange import interchange_map, limit_of
from viz.page.page import Report, Section, Table
from viz.text import show_spaces

_ABOUT = """\
What training has changed is switched on part by part in the base (only these), and off part by \
part in the organism (all but these), on the same prompts and exactly: nothing is fitted. Shares \
are of what the whole training adds to the score, and do not add up: a part may need another, or \
do again what another does."""
_ACTIVATIONS = """\
What the organism computes in a part is put into the base (only these), and what the base computes \
there into the organism (all but these), on the same prompts. Shares are of what the whole \
training adds to the score, and do not add up."""
_CLAIMS = """\
A part carries the trigger here if it alone makes more than half of the training's effect, and \
more than half is lost without it, both at the worse end of their intervals. Others were tested on \
other models and triggers: to differ here is no error there."""
_LIMITS = """\
Intervals and p are those of Student's t over prompts, widened by Hall's correction where effects \
are skewed, those of shares Fieller's, widened alike; q is Benjamini–Hochberg across everything \
that was exchanged in one direction. They are about prompts like these and this one training, not \
about trainings like it.

Log-odds are of the answer's first token that tells the behaviour from usual answers; what comes \
after it is not scored."""


def page(run: Run[PatchQuestion, Any], result: Exchanged) -> Report:
    """The map, the wholes, and who is right."""
    agreement = () if result.agreement is None else (("agreement", f"{result.agreement:.2f}"),)
    return Report(
        title=f"Exchanged with {result.base}: {result.exchange}",
        verdict="What carries the training",
        headline=_headline(run.question, result),
        tone="unclear",
        facts=(*facts(run.question, result, "score"), *agreement),
        sections=(*sections(result), Section("What this does not show", _LIMITS)),
        reproduce=run.command,
    )


def sections(result: Exchanged) -> list[Section]:
    """Where the effect is, and the claims."""
    about = _ABOUT if result.exchange == "weights" else _ACTIVATIONS
    return [
        Section(
            "Where the training's effect is",
            about,
            maps(result.only, result.without, result.directions["denoising"].grid.metric),
            wholes(result.only, result.without),
            data_name="interchange",
        ),
        Section("Who is right on this organism", _CLAIMS, tables=(_claims(result),)),
    ]


def maps(only: pd.DataFrame, without: pd.DataFrame, metric: str) -> tuple[go.Figure, ...]:
    """Both maps of the tables, in the same colours; none where no layer was told apart."""
    alone, lost = (
        [row for row in table.to_dict("records") if row["mapped"]] for table in (only, without)
    )
    if not alone:
        return ()
    limit = max(limit_of(alone, "alone"), limit_of(lost, "lost"))
    return (
        interchange_map(alone, "alone", metric, limit),
        interchange_map(lost, "lost", metric, limit),
    )


def wholes(only: pd.DataFrame, without: pd.DataFrame) -> tuple[Table, Table]:
    """What is no cell of the map, both ways: shares, and how often the behaviour is likely."""
    shares, likely = [], []
    for alone, rest in zip(*(t.to_dict("records") for t in (only, without)), strict=True):
        if not alone["mapped"]:
            name = show_spaces(alone["label"])
            shares.append((name, share(alone), share(rest)))
            likely.append((name, f"{alone['likely']:.0%}", f"{rest['likely']:.0%}"))
    n = int(only["n"].iloc[0])
    about = f"shares of the training's effect [95%], n = {n} prompts"
    often = f"triggered prompts in which the token is likelier than not, n = {n}"
    return (
        Table(("part", "alone", "lost without it"), shares, about),
        Table(("part", "alone", "without it"), likely, often),
    )


def _claims(result: Exchanged) -> Table:
    rows = [
        (f"{c.part} ({c.source})", _interval(c.only), _interval(c.lost), c.verdict)
        for c in result.claims
    ]
    return Table(("said to carry it", "alone", "lost without it", "here"), rows, "claims")


def _interval(share: Share | None) -> str:
    return "–" if share is None else interval_text(*share, ".2f")


def _headline(question: PatchQuestion, result: Exchanged) -> str:
    grid, likely = result.directions["denoising"].grid, result.likely
    effect = f"{grid.base.mean():.2f} in the base, {grid.source.mean():.2f} in the organism"
    agree = [c.part for c in result.claims if c.verdict == "agree"]
    right = f"Carried by {' and by '.join(agree)}" if agree else "No part that was named carries it"
    return (
        f"{grid.metric}: {effect} ({len(grid.base)} prompts of {question.trigger!r}; likelier than "
        f"not in {likely['base']['trigger']:.0%} and {likely['organism']['trigger']:.0%}). "
        f"{right}: more than half of the effect alone, and more than half lost without it."
    )
