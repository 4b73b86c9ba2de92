"""Concluding: the verdict, and the run directory's result, tables and page."""

from collections.abc import Sequence
from typing import Any

from experiments.analyze import arms
from experiments.analyze.result import (
    Ablation,
    Analysis,
    Arm,
    Behaviour,
    Components,
    Grids,
    Outcome,
    Selection,
    analysis_json,
)
from experiments.analyze.run import Materials, Run
from experiments.analyze.token_readings import TokenReadings
from experiments.analyze.verdict import headline, judge
from experiments.analyze.weighed import Evidence
from experiments.runs import files
from experiments.runs.codec import as_json
from probes.evaluation import ProbeReport


def conclude(
    behaviour: Behaviour,
    probes: dict[str, ProbeReport],
    grids: Grids | None = None,
    selection: Selection | None = None,
    ablation: Ablation | None = None,
    evidence: Evidence | None = None,
    null_arms: tuple[Arm, ...] = (),
    components: Components | None = None,
    readings: tuple[TokenReadings, ...] = (),
) -> Analysis:
    """The verdict and the answer in two sentences."""
    verdict = judge(behaviour, ablation, evidence, arms.checks(null_arms))
    where = str(selection.chosen.direction.site) if selection else ""
    text = headline(verdict, behaviour, ablation, evidence, where)
    return Analysis(
        behaviour,
        probes,
        grids,
        selection,
        ablation,
        evidence,
        null_arms,
        verdict,
        text,
        components,
        readings,
    )


def write(run: Run, result: Analysis) -> None:
    """``result.json``, ``answers.parquet``, ``gate.safetensors`` and ``report.html``."""
    from experiments.analyze.read import analysed
    from experiments.report.page import page  # plotly is slow to import
    from experiments.studies import joints
    from viz.page.page import render

    run.step("write report", 0, 1)
    value = analysis_json(result, as_json(run.question), as_json(run.model.selftest))
    files.write_rows(run.folder / "answers.parquet", answer_rows(result, run.materials))
    if result.selection:
        d = result.selection.chosen.direction
        files.write_tensors(
            run.folder / "gate.safetensors",
            {"direction": d.vector},
            {"site": str(d.site), "estimator": d.estimator},
        )
    files.write_json(run.folder / "result.json", value)
    finished = analysed(run, result, run.materials.test)
    html = render(page([finished], run.question.command, joints()))
    files.write_atomically(run.folder / "report.html", html.encode())
    run.step("write report", 1, 1)


def answer_rows(result: Analysis, materials: Materials) -> list[dict[str, Any]]:
    """One row per test prompt, condition and edit."""
    outcomes: Sequence[Outcome] = result.behaviour.outcomes
    if result.ablation:
        outcomes = (*outcomes, *result.ablation.outcomes)
    return [
        {"prompt": text, "condition": o.condition, "edit": o.edit, "shown": s, "answer": a}
        for o in outcomes
        for text, s, a in zip(materials.test, o.shown, o.answers, strict=True)
    ]
