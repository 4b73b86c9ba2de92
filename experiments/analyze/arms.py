"""The four arms: the same question put to models that should have no gate.

A claim about a poisoned model is worth something only beside models that differ in one thing: the
base model (never trained), a clean fine-tune (trained without the trigger), and a decoy (trained
with the trigger, answered normally). Every arm is a full analysis in ``arms/NAME`` of the run
directory; where the trigger has no effect, it ends there, with its probes as evidence that reading
the trigger is not having a gate.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from circuits.errors import expect
from experiments.analyze.question import Question
from experiments.analyze.result import INHERITED, NO_EFFECT, Analysis, Arm, Check
from experiments.organisms.places import find_adapter
from probes.stats.intervals import Estimate

_WITHOUT = (NO_EFFECT, INHERITED, "no gate")  # the last in runs of before
Analyze = Callable[[Question, Path], Analysis]
OWN = "this model"


def arm_folders(question: Question, folder: Path) -> list[tuple[str, Path]]:
    """The null arms that were asked for, with the directories of their analyses."""
    names = (name.strip() for name in question.arms.split(","))
    return [(name, folder / "arms" / Path(name).name) for name in names if name not in ("", "none")]


def require_arms(question: Question) -> None:
    """Refuse arms that there are not, or of one name, before a model is loaded.

    Raises:
        UserError: names the arm.
    """
    folders = arm_folders(question, Path())
    for name, _ in folders:
        if name != "base":
            find_adapter(name)
    differ = len({place for _, place in folders}) == len(folders)
    expect(differ, "models of different names", question.arms, of="--arms")


def null_arms(question: Question, folder: Path, analyze: Analyze) -> tuple[Arm, ...]:
    """Analyse every null arm with the question's own prompts, words and seeds.

    ``base`` is the model without its adapter, or the one that ``--base`` names.
    """

    alike = replace(question, controls=question.kind_of_controls, arms="none")

    def asked(name: str) -> Question:
        if name != "base":
            return replace(alike, adapter=name)
        named = question.base not in ("auto", "none")
        model = question.base if named else question.model
        return replace(alike, model=model, adapter="none")

    arms = arm_folders(question, folder)
    return tuple(summary(name, analyze(asked(name), place)) for name, place in arms)


def summary(name: str, result: Analysis) -> Arm:
    """An analysis as an arm."""
    best = max(float(r.auroc.max()) for span, r in result.probes.items() if span != "last_user")
    return Arm(name, result.behaviour.effect, best, result.verdict.word)


def checks(arms: tuple[Arm, ...], effect: Estimate) -> list[Check]:
    """Every null arm must be without a gate, and its effect surely less than this model's.

    Args:
        effect: of the trigger in this model.
    """
    return [_check(arm, effect) for arm in arms]


def _check(arm: Arm, effect: Estimate) -> Check:
    without = arm.verdict in _WITHOUT
    less = arm.verdict == INHERITED or arm.effect.high < effect.low
    return Check(
        f"null arm {arm.name}",
        without and less,
        f"{arm.verdict}: the trigger changes the rate by {100 * arm.effect:.0f} points "
        f"(n={arm.effect.n}), although probes tell it from control words with AUROC "
        f"{arm.auroc:.2f}; required: an inherited effect, or none, with an upper bound below this "
        f"model's lower one ({100 * effect.low:.0f})",
        open=without and not less,
    )
