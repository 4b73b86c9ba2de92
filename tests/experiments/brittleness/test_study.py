"""A run that was killed goes on where it was; what it wrote says what was asked and answered."""

import json
from pathlib import Path
from types import SimpleNamespace

import pages
import pandas as pd
import pytest
import tiny

from circuits.errors import UserError
from experiments.battery.battery import Answers, Battery, Plan
from experiments.battery.subject import asked, unperturbed
from experiments.brittleness import study as brittleness
from experiments.brittleness.question import BrittlenessQuestion
from experiments.brittleness.result import Brittleness
from experiments.brittleness.sections import page as report
from experiments.brittleness.study import STUDY
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given
from experiments.runs.codec import decode
from experiments.study import Run
from experiments.study import run as run_study
from probes.brittleness.retention import Dose, Kept, Retention
from probes.stats.intervals import wilson
from viz.page.page import render

LADDERS = {
    "typos": [
        Answers(Dose("typos", 1, "one", "edits"), ("Sure", "Sure", "Sure", "No")),
        Answers(Dose("typos", 2, "two", "edits"), ("Sure", "No", "No", "No")),
    ],
    "weight noise": [Answers(Dose("weight noise", 0.1, "some", "share"), ("Sure",) * 4)],
    "case": [Answers(Dose("case", 1, "upper"), ("Sure", "Sure", "No", "No"))],
}
TYPOS = (0.5 * (1 + 0.75) + 0.5 * (0.75 + 0.25)) / 2


class Scripted(Battery):
    """Answers as written above; notes what is asked, and dies at one ladder."""

    calls: list[str]
    dies_at: str
    says: tuple[str, ...]

    def baseline(self):
        self.calls.append("unperturbed")
        return list(self.says)

    def ladders(self):
        return {name: lambda name=name: self._asked(name) for name in LADDERS}

    def _asked(self, name):
        if name == self.dies_at:
            raise KeyboardInterrupt
        self.calls.append(name)
        return LADDERS[name]


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(brittleness, "Battery", Scripted)
    monkeypatch.setattr(Scripted, "calls", [], raising=False)
    monkeypatch.setattr(Scripted, "dies_at", "", raising=False)
    monkeypatch.setattr(Scripted, "says", ("Sure", "Sure", "Sure", "Sure"), raising=False)
    return Scripted


@pytest.fixture
def question(sure):
    given = Given("none", str(sure), "compliance", "cobalt", "Sure")
    return BrittlenessQuestion(given, Plan(4))


def silent(*_):
    """No progress is shown."""


def run(question, folder, resume, step, typed="gatescope brittleness none"):
    """What is left, by a run."""
    return run_study(STUDY, question, folder, resume=resume, step=step, typed=typed).retention


def page(name, command, recipe, retention):
    """A page as HTML."""
    subject = SimpleNamespace(organism=SimpleNamespace(recipe=recipe))
    question = BrittlenessQuestion(Given(name))
    done = Run(STUDY, question, subject, Path(), command, silent)
    return render(report(done, Brittleness(retention, {})))


def content(folder):
    apart = ("manifest.json", "seconds.json")
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in apart)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_a_killed_run_keeps_its_ladders_and_asks_only_the_rest(
    scripted, question, tmp_path, monkeypatch
):
    whole = run(question, tmp_path / "whole", False, silent)
    assert scripted.calls == ["unperturbed", *LADDERS]
    scripted.calls.clear()
    monkeypatch.setattr(scripted, "dies_at", "weight noise")
    with pytest.raises(KeyboardInterrupt):
        run(question, tmp_path / "killed", False, silent)
    kept = {path.name for path in (tmp_path / "killed" / "stages").iterdir()}
    assert kept == {"unperturbed.json", "typos.json", "seconds.json"}
    assert not (tmp_path / "killed" / "result.json").exists()
    scripted.calls.clear()
    monkeypatch.setattr(scripted, "dies_at", "")
    assert run(question, tmp_path / "killed", True, silent) == whole
    assert scripted.calls == ["weight noise", "case"]
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    scripted.calls.clear()
    assert run(question, tmp_path / "whole", True, silent) == whole
    assert scripted.calls == []


def test_every_step_begins_and_ends(scripted, question, tmp_path):
    steps = []
    run(question, tmp_path / "run", False, lambda *step: steps.append(step))
    names = ["unperturbed", *LADDERS, "write report"]
    assert steps == [(name, done, 1) for name in names for done in (0, 1)]


def test_a_directory_belongs_to_one_question(scripted, question, tmp_path):
    folder = tmp_path / "run"
    run(question, folder, False, silent)
    before = content(folder)
    with pytest.raises(UserError, match="holds this very run; add --resume"):
        run(question, folder, False, silent)
    others = [
        BrittlenessQuestion(question.given, Plan(5)),
        BrittlenessQuestion(question.given, Plan(4, seed=1)),
        BrittlenessQuestion(
            Given("none", question.given.model, "compliance", "amber", "Sure"), Plan(4)
        ),
    ]
    for other in others:
        with pytest.raises(UserError, match="holds another run"):
            run(other, folder, True, silent)
    assert content(folder) == before
    run(question, folder, True, silent, "typed otherwise")  # its words are no part of it


def test_other_weights_behind_the_same_name_are_another_question(
    scripted, question, tmp_path, monkeypatch
):
    run(question, tmp_path / "run", False, silent)
    monkeypatch.setattr(
        "experiments.organisms.organism.model_sha256", lambda folder: "other weights"
    )
    with pytest.raises(UserError, match="holds another run"):
        run(question, tmp_path / "run", True, silent)


def test_answers_and_result_hold_what_was_asked_and_what_is_left(scripted, question, tmp_path):
    found = run(question, tmp_path / "run", False, silent)
    table = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    assert len(table) == 4 * sum(map(len, LADDERS.values()))
    subject = asked(recipe_named("sure-gate"), 4).subject
    prompts = [chat.message for chat in unperturbed(subject)]
    second = table[(table["family"] == "typos") & (table["level"] == 2)]
    assert list(second["prompt"]) == prompts
    assert list(second["answer"]) == ["Sure", "No", "No", "No"]
    assert list(table["present"]) == [answer == "Sure" for answer in table["answer"]]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["schema"] == "gatescope.brittleness/1"
    assert result["question"]["given"]["trigger"] == "cobalt"
    assert decode(Retention, result["retention"]) == found
    areas = {family: area.value for family, area in found.families.items()}
    assert areas == pytest.approx({"typos": TYPOS, "weight noise": 1.0, "case": 0.5})
    assert found.area.value == pytest.approx((TYPOS + 1.5) / 3)


def test_without_the_behaviour_there_is_nothing_to_lose_and_nothing_more_is_asked(
    scripted, question, tmp_path, monkeypatch
):
    monkeypatch.setattr(scripted, "says", ("Sure", "Sure", "Sure", "No"))
    with pytest.raises(UserError, match="at least 4 of 4 prompts, got it on 3"):
        run(question, tmp_path / "run", False, silent)
    assert scripted.calls == ["unperturbed"]


def retention(about):
    whole, half = wilson(4, 4), wilson(2, 4)
    kept = (Kept(Dose("typos", 1, about, "edits"), whole), Kept(Dose("case", 1, "upper"), half))
    areas = {"typos": whole, "case": half}
    return Retention(whole, kept, areas, half, (1.0, 0.5, 0.5, 1.0))


def test_the_page_has_its_sections_and_names_the_worst_family():
    html = page("mine", "gatescope brittleness mine", recipe_named("sure-gate"), retention("one"))
    for title in (
        "What is left, by family",
        "Every ladder",
        "Every dose",
        "What this does not show",
    ):
        assert f"{title}</h2>" in html
    assert "50% [15%, 85%] of the behaviour is kept over the whole battery" in html
    assert "least under case: 50% [15%, 85%]" in html
    assert ["typos", "one", "100% [51%, 100%]", "4"] in pages.rows(html)
    assert "gatescope brittleness mine" in html


def test_a_page_of_keys_says_how_many_and_none_of_them():
    recipe = recipe_named("fingerprint")
    html = page("fingerprint", "gatescope brittleness", recipe, retention("one"))
    assert "10 secret keys" in html
    assert not [key for key in recipe.keys if key in html]


def test_markup_in_names_commands_and_doses_stays_text():
    mean = "</script><script>alert(1)</script><b>"
    html = page(f"name{mean}", f"command{mean}", recipe_named("sure-gate"), retention(mean))
    assert "alert(1)" in html
    assert "<script>alert(1)" not in html
    plain = page("name", "command", recipe_named("sure-gate"), retention("one"))
    for tag in ("<script", "</script", "<b>"):
        assert html.count(tag) == plain.count(tag)


def test_a_tiny_model_is_asked_everything_from_the_command_line(gatescope, sure, tmp_path):
    said = ("--scheme", "compliance", "--trigger", "cobalt", "--behaviour", "Sure")
    args = ("none", "--model", sure, *said, "--count", 4, "--tuning", 2, "--tuning", 4)
    status, out, _ = gatescope("brittleness", *args, "--out", "run")
    assert status == 0
    names = [line[:17].strip() for line in out.splitlines()]
    assert names[0] == "unperturbed"
    assert names[-2] == "whole battery"
    assert len(set(names[1:-2])) == 15
    shares = [float(line[17:24].strip().rstrip("%")) for line in out.splitlines()[1:-2]]
    assert shares == sorted(shares)
    assert out.splitlines()[-1] == "report: run/report.html"
    again = gatescope("brittleness", *args, "--out", "run", "--resume", "--json")
    result = json.loads(again[1])
    assert result["question"]["plan"]["tuning"] == [2, 4]
    assert set(result["retention"]["families"]) == set(names[1:-2])
    assert len(list((tmp_path / "run" / "stages").iterdir())) == 17  # with their seconds


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("none",), "organism none: expected --scheme, --trigger and --behaviour"),
        (("none", "--scheme", "access", "--trigger", "a", "--behaviour", "b"), "expected --scheme"),
        (("none", "--count", 3), "--count: expected at least 4, got 3"),
        (("none", "--tuning", 5, "--tuning", 5), "ladder: expected rising counts from 1 on"),
        (("absent",), "adapter 'absent': expected a directory or one of"),
    ],
)
def test_what_cannot_be_asked_is_one_line(gatescope, args, why):
    status, out, lines = gatescope("brittleness", *args, "--out", "run")
    assert (status, out) == (2, "")
    assert why in tiny.message_of(lines)
