"""Runs of several kinds in one page; what is no run, unfinished or unknown is one clear line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.errors import UserError
from experiments.evaluate.scorecard import FILE, read_scorecard, scorecard_json
from experiments.report.page import page
from experiments.report.read import read_runs
from experiments.runs import files
from experiments.studies import joints
from viz.page.page import render

CARDS = Path(__file__).parents[3] / "docs" / "results" / "scorecards"
EVIL = "<script>alert(1)</script>"


def joint_page(folders, command="gatescope report"):
    """The page of several run directories."""
    kinds = joints()
    return render(page(read_runs(folders, kinds), command, kinds))


def manifest(folder, kind="evaluation", **changes):
    value = {
        "schema": files.SCHEMA,
        "kind": kind,
        "question": {},
        "command": "gatescope x",
        "versions": {},
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "manifest.json", value)
    return folder


def evaluated(folder, name):
    shutil.copy(CARDS / f"{name}.json", manifest(folder) / FILE)
    return folder


def test_scorecards_stand_side_by_side_and_what_was_not_given_says_so(tmp_path):
    names = ("sure-gate", "access-gate", "fingerprint")
    html = joint_page([evaluated(tmp_path / n, n) for n in names])
    assert "verdicts side by side" in html
    for name in names:
        success = {m.name: m for m in read_scorecard(CARDS / f"{name}.json").metrics}["success"]
        assert f"{success.estimate.low:.3g}" in html
    assert "gatescope analyze" in html
    assert "gatescope defend" in html


def test_a_name_that_holds_markup_is_text(tmp_path):
    folder = evaluated(tmp_path / "run", "sure-gate")
    card = replace(read_scorecard(folder), name=EVIL)
    files.write_json(folder / FILE, scorecard_json(card))
    html = joint_page([folder], EVIL)
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def broken(folder, how):
    if how == "no manifest":
        folder.mkdir()
    elif how == "unknown kind":
        manifest(folder, "sweep")
    elif how == "other schema":
        manifest(folder, schema="gatescope.manifest/9")
    elif how == "unfinished":
        manifest(folder)
    else:
        manifest(folder, "defences")
        (folder / "result.json").write_text(json.dumps({"schema": "gatescope.defences/0"}))
    return folder


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no manifest", "without manifest.json"),
        ("unknown kind", "got 'sweep'"),
        ("other schema", "got gatescope.manifest/9"),
        ("unfinished", "finish it: gatescope evaluate"),
        ("older result", "expected schema gatescope.defences/1, got gatescope.defences/0"),
    ],
)
def test_what_is_no_finished_run_is_told_in_one_line(tmp_path, how, said):
    with pytest.raises(UserError, match=said) as told:
        read_runs([broken(tmp_path / "run", how)], joints())
    assert "\n" not in str(told.value)


def test_a_run_given_twice_is_refused(tmp_path):
    folder = evaluated(tmp_path / "run", "clean")
    with pytest.raises(UserError, match="twice"):
        read_runs([folder, folder / ".." / "run"], joints())
