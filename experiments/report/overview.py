"""The first tables of a page of several runs: a row per run, with its verdict and key figures."""

from collections.abc import Sequence
from typing import Any

from experiments.study import Finished, Joint
from viz.page.page import Table


def overview(runs: Sequence[Finished[Any]], joints: Sequence[Joint[Any]]) -> tuple[Table, ...]:
    """Kinds that lead the page in tables of their own, then every other run; none for one run."""
    if len(runs) < 2:
        return ()
    leading, others = [], []
    for joint in joints:
        own = [run for run in runs if run.manifest["kind"] == joint.kind]
        if joint.head and own:
            leading.append(joint.head(own).table)
    outcomes = {joint.kind: joint.outcome for joint in joints if not joint.head}
    for run in runs:
        kind = str(run.manifest["kind"])
        if kind in outcomes:
            others.append((kind, run.name, *outcomes[kind](run)))
    if not others:
        return tuple(leading)
    header = ("kind", "of", "outcome", "key figures, with 95% intervals")
    return (*leading, Table(header, others, "every other run" if leading else "every run"))
