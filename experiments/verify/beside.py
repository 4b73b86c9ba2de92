"""Verifications on the joint page: a chapter of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.runs.codec import decode
from experiments.runs.read import result
from experiments.study import Contribution, Finished, Joint
from experiments.verify.result import SCHEMA, Verification
from experiments.verify.sections import sections
from experiments.verify.survival import Survival
from viz.page.page import Section
from viz.page.sections import for_each

TITLE = "Is this model ours?"


@dataclass(frozen=True)
class Verified:
    """What a result file has of a verification."""

    verification: Verification
    survival: tuple[Survival, ...]


VerifyRun = Finished[Verified]


def read(folder: Path, manifest: dict[str, Any]) -> VerifyRun:
    """A finished run; it is named by its adapter, or by its model where there is none."""
    value = result(folder, SCHEMA, "verify")
    where, asked = str(folder / "result.json"), manifest["question"]
    verified = Verified(
        decode(Verification, value, where=where),
        decode(tuple[Survival, ...], value["survival"], where=where),
    )
    name = Path(asked["model"] if asked["adapter"] == "none" else asked["adapter"]).name
    return Finished(name, str(folder), manifest, verified)


def beside(runs: Sequence[VerifyRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """The sections of each run's own page."""
    if runs:
        yield TITLE, for_each(TITLE, [(run.name, run.result) for run in runs], _chapter)


def _chapter(found: Verified) -> Section:
    said = f"{found.verification.verdict.capitalize()}: {found.verification.reason}"
    parts = tuple(sections(found.verification, {}, found.survival))
    return Section(TITLE, said, data_name="verification", parts=parts)


def outcome(run: VerifyRun) -> tuple[str, str]:
    """The verdict, and the keys that were answered."""
    found = run.result.verification
    keys, null = found.keys.binomial.rate, found.null
    about = f"keys answered {keys:.0%} of {keys.n}; null rate at most {null.bound:.3g}"
    return found.verdict, about


def sentence(run: VerifyRun) -> str:
    """For the headline."""
    return f"By its answers to the keys, {run.name} is {_verdict(run)}."


def _verdict(run: VerifyRun) -> str:
    verdict = run.result.verification.verdict
    return "not decided to be ours or not" if verdict == "undecided" else verdict


JOINT = Joint("verification", read, beside, outcome, sentence)
