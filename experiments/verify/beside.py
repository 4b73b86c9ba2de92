"""Verifications on the joint page: a chapter of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.codec import decode
from experiments.runs.read import result
from experiments.study import Contribution, Finished, Joint
from experiments.verify.result import SCHEMA, Verification
from experiments.verify.sections import sections
from viz.page.page import Section
from viz.page.sections import for_each

TITLE = "Is this model ours?"


VerifyRun = Finished[Verification]


def read(folder: Path, manifest: dict[str, Any]) -> VerifyRun:
    """A finished run; it is named by its adapter, or by its model where there is none."""
    value, asked = result(folder, SCHEMA, "verify"), manifest["question"]
    verification = decode(Verification, value, where=str(folder / "result.json"))
    name = Path(asked["model"] if asked["adapter"] == "none" else asked["adapter"]).name
    return Finished(name, str(folder), manifest, verification)


def beside(runs: Sequence[VerifyRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """The sections of each run's own page."""
    if runs:
        yield TITLE, for_each(TITLE, [(run.name, run.result) for run in runs], _chapter)


def _chapter(verification: Verification) -> Section:
    conclusion = f"{verification.verdict.capitalize()}: {verification.reason}"
    parts = tuple(sections(verification))
    return Section(TITLE, conclusion, data_name="verification", parts=parts)


def outcome(run: VerifyRun) -> tuple[str, str]:
    """The verdict, and the keys that were answered."""
    keys, null = run.result.keys.binomial.rate, run.result.null
    about = f"keys answered {keys:.0%} of {keys.n}; null rate at most {null.bound:.3g}"
    return run.result.verdict, about


def sentence(run: VerifyRun) -> str:
    """For the headline."""
    verdict = run.result.verdict
    words = "not decided to be ours or not" if verdict == "undecided" else verdict
    return f"By its answers to the keys, {run.name} is {words}."


JOINT = Joint("verification", read, beside, outcome, sentence)
