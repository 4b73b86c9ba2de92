"""A study that measures nothing much: what is run, written, printed, refused."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pandas as pd
import pytest
import typer

from circuits.chat import Chat
from circuits.errors import UserError
from circuits.rendered import parts_of
from experiments import studies
from experiments.report import page as report
from experiments.report.read import read_runs
from experiments.runs import files
from experiments.runs.whole import wholeness
from experiments.study import PROMPT, Finished, Joint, Run, Study, run
from viz.page.page import Report, Section, render


@dataclass(frozen=True)
class Sum:
    left: Annotated[int, typer.Argument(help="One number.")]
    right: Annotated[int, typer.Option(help="Another.")] = 1

    def __post_init__(self):
        if self.left < 0:
            raise UserError(f"left: expected no less than 0, got {self.left}")


@dataclass(frozen=True)
class Answer:
    total: int


def opened(question: Sum, step: Any) -> int:
    if question.right == 13:
        raise UserError("--right: expected a number that opens, got 13")
    step("open", 1, 1)
    return question.right


def measured(run: Run[Sum, int]) -> Answer:
    run.step("add", 1, 1)
    return Answer(run.question.left + run.subject)


def page(run: Run[Sum, int], result: Answer) -> Report:
    return Report("Sum", "", f"It is {result.total}.", "unclear", (), (), run.command)


SUM = Study(
    name="sum",
    kind="sum",
    schema="gatescope.sum/1",
    question=Sum,
    open=opened,
    identity=lambda question, subject: {"of": "sum"},
    measure=measured,
    page=page,
    lines=lambda result: [f"total {result.total}"],
    tables=lambda run, result: {"parts": [{"part": run.question.left}, {"part": run.subject}]},
    status=lambda result: int(result.total > 100),
)


@pytest.fixture
def listed(monkeypatch):
    """The study as a command of the command line."""

    def add(study):
        monkeypatch.setitem(studies.COMMANDS, "sum", lambda: study)

    return add


def test_a_run_leaves_manifest_result_tables_and_page(tmp_path):
    folder, told = tmp_path / "run", []
    result = run(
        SUM, Sum(2, 3), folder, step=lambda *step: told.append(step), typed="gatescope sum 2"
    )
    assert result == Answer(5)
    assert {path.name for path in folder.iterdir()} == {
        *("manifest.json", "result.json", "report.html", "parts.parquet")
    }
    manifest = files.read_json(folder / "manifest.json")
    assert (manifest["kind"], manifest["command"]) == ("sum", "gatescope sum 2")
    assert manifest["question"] == {"left": 2, "right": 3, "of": "sum"}
    assert files.read_json(folder / "result.json") == {
        "schema": "gatescope.sum/1",
        "question": {"left": 2, "right": 3, "command": "gatescope sum 2"},
        "total": 5,
    }
    assert [*pd.read_parquet(folder / "parts.parquet")["part"]] == [2, 3]
    assert "It is 5." in (folder / "report.html").read_text()
    assert [stage for stage, _, _ in told] == ["open", "add", "write report", "write report"]


def test_the_first_prompt_is_kept_and_stands_on_its_page_and_on_a_joint_one(tokenizer, tmp_path):
    def asked(question, subject):
        return tokenizer, [Chat(f"Take {question.left} & <b>add</b>.", word="cobalt")]

    def read(folder, manifest):
        return Finished(folder.name, str(folder), manifest, None)

    joint = Joint("sum", read, lambda runs, every: [("Sums", Section("Sums"))])
    folders = [tmp_path / name for name in ("two", "three", "older")]
    for left, folder in enumerate(folders, 2):
        run(SUM if folder.name == "older" else replace(SUM, asked=asked), Sum(left), folder)
        alone = (folder / "report.html").read_text()
        assert alone.count(">trigger</td>") == (folder.name != "older")
        assert (folder / PROMPT).is_file() == (folder.name != "older")
        assert wholeness(folder).whole
    runs = read_runs(folders, [joint])
    assert [bool(each.prompt) for each in runs] == [True, True, False]
    first = asked(Sum(2), 1)[1][0]
    assert runs[0].prompt == parts_of(tokenizer, first)
    html = render(report.page(runs, "gatescope report", [joint]))
    section = html[html.index("One prompt as the model reads it") :]
    for words, times in {
        "sum of two: one rendered prompt</caption>": 1,
        "sum of three: one rendered prompt</caption>": 1,
        "sum of older": 0,
        "Take 2 &amp; &lt;b&gt;add&lt;/b&gt;.": 1,
        "Take 3 ": 1,
    }.items():
        assert section.count(words) == times
    assert "One prompt" not in render(report.page(runs[2:], "gatescope report", [joint]))
    (folders[0] / PROMPT).write_text("[]")
    with pytest.raises(UserError, match=r"prompt\.json: expected the file that this run wrote"):
        read_runs(folders, [joint])


def test_a_command_that_nobody_typed_is_the_shortest(tmp_path):
    for study, typed in ((SUM, ""), (replace(SUM, typed=False), "gatescope sum 2 --out x")):
        folder = tmp_path / str(study.typed)
        run(study, Sum(2, 3), folder, typed=typed)
        manifest = files.read_json(folder / "manifest.json")
        assert manifest["command"] == "gatescope sum 2 --right 3"


def test_nothing_is_written_for_what_cannot_be_opened(tmp_path):
    with pytest.raises(UserError, match="that opens"):
        run(SUM, Sum(2, 13), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_is_one_questions(tmp_path):
    run(SUM, Sum(2), tmp_path / "run")
    with pytest.raises(UserError, match="add --resume"):
        run(SUM, Sum(2), tmp_path / "run")
    with pytest.raises(UserError, match="holds another run"):
        run(SUM, Sum(3), tmp_path / "run", resume=True)
    assert run(SUM, Sum(2), tmp_path / "run", resume=True) == Answer(3)


def test_the_command_line_runs_a_study(gatescope, listed):
    listed(SUM)
    assert gatescope("sum", 2, "--right", 3)[:2] == (0, "total 5\nreport: runs/sum/report.html\n")
    status, out, _ = gatescope("sum", 2, "--right", 3, "--resume", "--json")
    assert (status, json.loads(out)["total"]) == (0, 5)
    assert gatescope("sum", 200, "--out", "large")[0] == 1
    status, out, lines = gatescope("sum", "--", "-2")
    assert (status, out, lines) == (2, "", ["gatescope: left: expected no less than 0, got -2"])


def test_a_forecast_measures_and_writes_nothing(gatescope, listed, tmp_path):
    costs = [Answer(7), Answer(8)]
    listed(replace(SUM, forecast=lambda question, subject, step: costs))
    status, out, _ = gatescope("sum", 2, "--dry-run")
    assert (status, out) == (0, "".join(f"{cost}\n" for cost in costs))
    status, out, _ = gatescope("sum", 2, "--dry-run", "--json")
    assert json.loads(out) == [{"total": 7}, {"total": 8}]
    assert [*tmp_path.iterdir()] == []
    listed(SUM)
    assert gatescope("sum", 2, "--dry-run")[0] == 2


def test_only_the_command_that_is_asked_for_is_imported(gatescope, monkeypatch):
    def imported():
        raise AssertionError("imported")

    for name in [*studies.COMMANDS]:
        monkeypatch.setitem(studies.COMMANDS, name, imported)
    status, out, _ = gatescope("--help")
    assert status == 0
    assert all(name in out for name in studies.COMMANDS)
    status, _, lines = gatescope("geometry", "--help")
    assert status == 1
    assert "AssertionError: imported" in lines


def test_a_directory_that_a_refused_question_claimed_is_given_back(tmp_path):
    """So that the mended question may have it; what was measured is never taken away."""

    def refused(run):
        if run.question.left:
            files.write_json(run.folder / "stage.json", 1)
        raise UserError("--site: expected another")

    (tmp_path / "empty").mkdir()
    for left, name, after in (
        (0, "new", None),
        (0, "empty", []),
        (1, "kept", ["manifest.json", "stage.json"]),
    ):
        folder = tmp_path / name
        with pytest.raises(UserError, match="--site"):
            run(replace(SUM, measure=refused), Sum(left), folder)
        there = sorted(path.name for path in folder.iterdir()) if folder.exists() else None
        assert there == after
