"""The report's page: every section in its order, whatever runs were given."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.analyze.read import AnalysisRun
from experiments.analyze.sections.ablation import ablating
from experiments.analyze.sections.arms import TITLE as ARMS
from experiments.analyze.sections.arms import four_arms
from experiments.analyze.sections.direction import TITLE as DIRECTION
from experiments.analyze.sections.direction import direction
from experiments.analyze.sections.switch import TITLE as SWITCH
from experiments.analyze.sections.switch import switch
from experiments.analyze.sections.verdict import TITLE as WHY
from experiments.analyze.sections.verdict import why
from experiments.analyze.sections.where import TITLE as WHERE
from experiments.analyze.sections.where import where
from experiments.evaluate.side_by_side import six
from experiments.geometry.map import mapped
from experiments.patch.beside import patches
from experiments.report.kinds import (
    BatteryRun,
    DefenceRun,
    EvaluationRun,
    GeometryRun,
    OtherRun,
    PatchRun,
)
from experiments.report.overview import overview
from experiments.report.reproduce import LIMITS, reproduce
from experiments.report.top import facts, headline, notes, title, tone, verdict
from viz.page.page import Report, Section, Table, render
from viz.page.sections import missing

AnyRun = AnalysisRun | OtherRun
_ANALYSE = "gatescope analyze --model MODEL --adapter ADAPTER --trigger WORD --arms clean,base"


def page(runs: Sequence[AnyRun], command: str) -> str:
    """One self-contained HTML page of one or several runs.

    Args:
        command: what makes this page again.
    """
    return render(
        Report(
            title=title(runs),
            verdict=verdict(runs),
            headline=headline(runs),
            tone=tone(runs),
            facts=facts(runs),
            sections=tuple(_sections(runs, command)),
            reproduce="",
        )
    )


def _sections(runs: Sequence[AnyRun], command: str) -> list[Section]:
    analyses = [run for run in runs if isinstance(run, AnalysisRun)]
    patched = [run for run in runs if isinstance(run, PatchRun)]
    defended = [run for run in runs if isinstance(run, DefenceRun)]
    geometries = [run for run in runs if isinstance(run, GeometryRun)]
    batteries = [run for run in runs if isinstance(run, BatteryRun)]
    cards = [run for run in runs if isinstance(run, EvaluationRun)]
    return [
        *(_analysed(analyses, patched, overview(runs))),
        ablating(analyses, defended),
        mapped(geometries, batteries),
        six(cards),
        LIMITS,
        reproduce(runs, command, notes(runs)),
    ]


def _analysed(
    runs: Sequence[AnalysisRun], patched: Sequence[PatchRun], first: Sequence[Table]
) -> list[Section]:
    """The sections that an analysis fills; patching runs join where it is carried.

    Args:
        first: the tables of every run, which open the first section.
    """
    if runs:
        return [
            why(runs, first),
            four_arms(runs),
            patches(where(runs), patched),
            direction(runs),
            switch(runs),
        ]
    absent = {
        name: missing(name, "An analysis of the trigger", _ANALYSE)
        for name in (WHY, ARMS, WHERE, DIRECTION, SWITCH)
    }
    absent[WHY] = replace(absent[WHY], lead=tuple(first))
    if patched:
        absent[WHERE] = patches(Section(WHERE), patched)
    return list(absent.values())
