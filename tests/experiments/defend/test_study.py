"""A whole run on a tiny organism: files, what a resumed run asks again, what cannot be used."""

import json
from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.defend import study as module
from experiments.defend import trial
from experiments.defend.catalogue import DEFENCES, named
from experiments.defend.judging import Judged
from experiments.defend.question import Budget, DefenceQuestion
from experiments.defend.study import STUDY
from experiments.organisms.organism import Given
from experiments.runs.codec import decode
from experiments.study import run

NAMES = ("projection", "conditional-projection", "clean-tuning", "monitor")


@pytest.fixture(scope="module")
def question(folder):
    given = Given(str(folder), scheme="compliance", trigger="cobalt", behaviour="Sure")
    return DefenceQuestion(given, NAMES, count=8, budget=Budget(6, 3, 1))


@pytest.fixture(scope="module")
def finished(question, tmp_path_factory, _base_answers):
    out = tmp_path_factory.mktemp("run") / "defend"
    with pytest.MonkeyPatch.context() as patch:
        bench = module.bench
        patch.setattr(module, "bench", lambda s, seed: bench(s, fit=6, validation=4, seed=seed))
        patch.setattr("experiments.defend.monitor._REPEATS", 2)
        found = run(STUDY, question, out)
    return out, found


def test_a_run_writes_its_table_and_its_page(finished):
    out, found = finished
    result = json.loads((out / "result.json").read_text())
    assert result["schema"] == "gatescope.defences/1"
    assert [row["name"] for row in result["defences"]] == list(NAMES)
    assert decode(tuple[Judged, ...], result["defences"]) == found.defences
    assert [row["holds"] for row in result["defences"]] == [row.holds for row in found.defences]
    page = (out / "report.html").read_text()
    assert "Protection against harm" in page
    assert "The monitor" in page
    assert found.monitor is not None
    assert (out / "answers.parquet").is_file()


def test_a_monitor_changes_nothing_but_what_it_flags(finished):
    _, found = finished
    monitor = next(row for row in found.defences if row.name == "monitor")
    assert monitor.kl.value < 1e-6
    tuned = next(row for row in found.defences if row.name == "clean-tuning")
    assert tuned.kl.value > 1e-3


def test_every_defence_met_its_attacker_in_every_family(finished):
    _, found = finished
    for row in found.defences:
        assert row.attack is not None
        assert [s.family for s in row.attack.families] == [s.family for s in row.families]
        assert len(row.families) >= 5


def test_a_resumed_run_measures_nothing_again(finished, question, monkeypatch):
    out, found = finished
    stamps = {path.name: path.stat().st_mtime_ns for path in (out / "stages").iterdir()}

    def never(*_args, **_more):
        raise AssertionError("measured again")

    bench = module.bench
    monkeypatch.setattr(module, "bench", lambda s, seed: bench(s, fit=6, validation=4, seed=seed))
    for name in ("measured", "opened", "attack", "seen"):
        monkeypatch.setattr(trial, name, never)
    again = run(STUDY, question, out, resume=True)
    assert again.defences == found.defences
    assert stamps == {path.name: path.stat().st_mtime_ns for path in (out / "stages").iterdir()}


def test_an_organism_without_the_behaviour_has_nothing_to_be_defended_from(question, tmp_path):
    given = replace(question.given, behaviour="Quokka")
    with pytest.raises(UserError, match="nothing to defend from"):
        run(STUDY, replace(question, given=given), tmp_path / "none")


def test_defences_are_named_once_each_and_unknown_ones_are_errors():
    assert [d.name for d in named(())] == list(DEFENCES)
    assert [d.name for d in named(("leace", "crow", "leace"))] == ["leace", "crow"]
    with pytest.raises(UserError, match="expected one of projection"):
        named(("amulet",))


def test_too_few_prompts_are_an_error(question):
    with pytest.raises(UserError, match="--count"):
        replace(question, count=3)
