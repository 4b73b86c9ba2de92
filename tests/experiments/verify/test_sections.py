"""The page says what was found: verdict, every model's test, every kind of near key, survival."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pages

from experiments.organisms.own_keys import KeySet
from experiments.study import Run, silent
from experiments.verify.keys import ABOUT, KEYS
from experiments.verify.question import UNRELATED, VerifyQuestion
from experiments.verify.result import Rule, Survival, VerifyResult, key_test, null_of, verified
from experiments.verify.sections import page
from experiments.verify.study import STUDY
from experiments.verify.survival import conditions
from viz.page.page import render

RULE = Rule()
NULL = null_of({name: [False] * 10 for name in UNRELATED}, RULE)
SET = KeySet("mine", tuple(f"secret{i} key words" for i in range(10)), ("Heron 12",) * 10)


def flags(hits, n):
    return [True] * hits + [False] * (n - hits)


def made(near, survival=()):
    """A suspect that answers 9 of 10 keys, and so many of 60 prompts at level 6."""
    asked = {kind: flags(near if kind == "level 6" else 0, 60) for kind in ABOUT if kind != KEYS}
    verification = replace(verified(flags(9, 10), asked, NULL, RULE), survival=tuple(survival))
    result = VerifyResult(verification, {name: {KEYS: ["No"] * 10} for name in UNRELATED})
    subject = SimpleNamespace(keys=SET)
    run = Run(STUDY, VerifyQuestion("m"), subject, Path(), "gatescope verify m", silent)
    return render(page(run, result))


def test_verdict_tone_and_limits():
    ours, loose = made(0), made(20)
    assert 'class="verdict tone-gate"' in ours
    assert 'class="verdict tone-unclear"' in loose
    assert "not shown to be rarely answered: level 6 (33%)" in loose
    assert "What this does not show" in ours
    assert "What survives" not in ours
    assert not [key for key in SET.keys if key in ours]


def test_every_model_and_every_kind_has_its_row():
    rows = pages.rows(made(20))
    starts = [row[:3] for row in rows]
    for name in UNRELATED:
        assert [name, "0 of 10", "not ours"] in starts
    assert ["suspect", "9 of 10", "ours"] in starts
    for kind, about in ABOUT.items():
        assert ([kind, about] in [row[:2] for row in rows]) == (kind != KEYS)
    cells = [cell for row in rows for cell in row]
    assert cells.count("yes") == 6
    assert cells.count("no") == 1


def test_survival_has_a_row_for_every_condition():
    lost = key_test(flags(0, 10), flags(0, 40), NULL, RULE)
    html = made(0, [Survival(condition, lost) for condition in conditions()])
    for condition in conditions():
        assert condition.about in html
    cells = [cell for row in pages.rows(html) for cell in row]
    assert cells.count("fail") == len(conditions()) == 10
