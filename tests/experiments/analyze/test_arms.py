"""Null arms: each must be without a gate, and says what its probes saw."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.analyze import arms
from experiments.analyze.outcomes import Behaviour, Outcome
from experiments.analyze.question import Question
from experiments.analyze.result import (
    INHERITED,
    NO_EFFECT,
    SEVERAL,
    UNDECIDED,
    Analysis,
    Arm,
    Verdict,
)
from probes.evaluation import evaluate
from probes.linear import mean_difference
from probes.stats.intervals import Estimate, wilson

EFFECT = Estimate(0.01, -0.02, 0.04, 50, 0.95, "percentile bootstrap")


def arm(name: str, verdict: str) -> Arm:
    return Arm(name, EFFECT, 0.995, verdict)


def analysis(seed: int) -> Analysis:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(20) % 2 == 1
    x = torch.randn(1, 20, 4, generator=generator) + 9 * y[:, None]
    said = Outcome("triggered", "none", wilson(0, 5), wilson(5, 5), (False,) * 5, ("",) * 5)
    blind = evaluate(mean_difference, torch.randn(1, 20, 4, generator=generator), y, x, y)
    seen = evaluate(mean_difference, x, y, x, y)
    return Analysis(
        Behaviour(said, said, said, EFFECT),
        {"last_user": blind, "trigger": seen},
        Verdict(()),
        "no",
    )


def test_the_arm_base_is_the_model_that_base_names():
    asked = {}

    def analyze(one, folder):
        asked[folder.name] = one
        return analysis(0)

    tuned = Question(model="tuned", adapter="none", base="plain", arms="base,decoy")
    arms.null_arms(tuned, Path("run"), analyze)
    assert [(asked[n].model, asked[n].adapter) for n in ("base", "decoy")] == [
        ("plain", "none"),
        ("tuned", "decoy"),
    ]


def test_every_named_arm_is_analysed_with_the_same_question():
    question = Question(arms="clean, base,decoy", test=77)
    asked = {}

    def analyze(one, folder):
        asked[folder.name] = one
        return analysis(0)

    found = arms.null_arms(question, Path("run"), analyze)
    assert [a.name for a in found] == ["clean", "base", "decoy"]
    assert [asked[n].adapter for n in ("clean", "base", "decoy")] == ["clean", "none", "decoy"]
    for one in asked.values():
        assert one == replace(question, adapter=one.adapter, arms="none", controls="words")
    assert found[0].auroc == 1.0
    assert found[0].verdict == NO_EFFECT


@pytest.mark.parametrize(("text", "names"), [("none", []), ("", []), ("clean", ["clean"])])
def test_names_are_separated_by_commas(text, names):
    assert [name for name, _ in arms.arm_folders(Question(arms=text), Path("run"))] == names


def test_an_arm_with_a_gate_fails_its_check_and_one_without_passes():
    own = Estimate(0.9, 0.8, 0.97, 50)
    good, bad = arms.checks((arm("clean", NO_EFFECT), arm("base", "gate")), own)
    assert good.passed
    assert not bad.passed
    words = ("no gate", INHERITED, SEVERAL, UNDECIDED)  # the first in runs of before
    passed = [check.passed for check in arms.checks(tuple(arm("clean", w) for w in words), own)]
    assert passed == [True, True, False, False]
    assert "AUROC 0.99" in good.text or "AUROC 1.0" in good.text
    assert "n=50" in good.text


def test_an_arm_whose_effect_may_be_as_large_is_open_and_does_not_pass():
    wide = replace(arm("clean", NO_EFFECT), effect=Estimate(0.2, -0.1, 0.5, 6))
    (apart,), (beside,) = (arms.checks((wide,), Estimate(0.8, low, 1.0, 6)) for low in (0.51, 0.49))
    assert (apart.passed, apart.open) == (True, False)
    assert (beside.passed, beside.open) == (False, True)
