"""Every kind of run, damaged in many ways: each is one line that names the file; whole, a page.

Nothing here is measured: the runs are written by hand, or are the repository's own results.
"""

import copy
import json
import random
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import finished
import pandas as pd
import pytest
import records
import torch

from circuits.errors import UserError
from circuits.types import PatchGrid, Site
from experiments.analyze.outcomes import Outcome, Recording
from experiments.analyze.question import Question
from experiments.patch.result import SCHEMA as PATCHED
from experiments.patch.result import Patching, with_statistics
from experiments.report.page import page
from experiments.report.read import read_runs
from experiments.runs import files, formats
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Stages
from experiments.studies import joints
from probes.evaluation import ProbeReport
from probes.stats.intervals import wilson
from viz.page.page import render

RESULTS = Path(__file__).parents[3] / "docs" / "results"
GIVEN = {"given": {"name": "sure-gate"}, "mapping": {"trigger": "cobalt"}}
KINDS = joints()


def analysis(folder):
    """One of a trigger without effect: it ends after its probes."""
    asked = asdict(Question(adapter="none", trigger="cobalt", behaviour="Sure"))
    finished.analysis(folder, asked, None, arms=[])
    texts = [f"prompt {i}" for i in range(4)]
    rate = wilson(0, 4)
    conditions = ("triggered", "control word", "no trigger")
    shown, answers = (False,) * 4, ("No.",) * 4
    outcomes = tuple(Outcome(c, "none", rate, rate, shown, answers) for c in conditions)
    sites = tuple(Site(layer, "resid_pre", "last") for layer in range(2))
    acts = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)).half()
    scores = torch.full((6, 2), 0.5, dtype=torch.float64).unbind()
    report = ProbeReport("lda", *(score.clone() for score in scores), n_train=4, n_test=4)
    kept = {"behaviour": outcomes, "activations-test": Recording(sites, acts, acts + 1)}
    for name, record in {**kept, "probes": report}.items():
        Stages(folder).keep(name, type(record), lambda record=record: record)
    rows = [{"prompt": t, "condition": c, "edit": "none"} for c in conditions for t in texts]
    (folder / "answers.parquet").write_bytes(formats.row_bytes(rows))


def evaluation(folder):
    finished.manifest(folder, "evaluation", question={"about": {}, "count": 40})
    shutil.copy(RESULTS / "scorecards" / "sure-gate.json", folder / "scorecard.json")


def defences(folder):
    finished.manifest(folder, "defences", question=GIVEN)
    shutil.copy(RESULTS / "defences" / "sure-gate.json", folder / "result.json")


def scan(folder):
    finished.manifest(folder, "scan", question=GIVEN)
    shutil.copy(RESULTS / "scans" / "sure-gate.json", folder / "result.json")
    best = files.read_json(folder / "result.json")["suspect"]["best"]
    rows = [{"model": "sure-gate", "rank": i, **row} for i, row in enumerate(best, 1)]
    (folder / "scores.parquet").write_bytes(formats.row_bytes(rows))


def patching(folder):
    finished.manifest(folder, "patch", question={"adapter": "none"})
    values = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    base, source = torch.zeros(4), torch.ones(4)
    grid = PatchGrid("denoising", "resid_pre", "gap", ("a", "b"), values, base, source)
    Ledger(folder).write_grid("grid-denoising", grid)
    summary = Patching({"denoising": with_statistics(grid)}, "shared").summary()
    files.write_json(folder / "result.json", {"schema": PATCHED, "question": {}, **summary})


RUNS = {run.__name__: run for run in (analysis, evaluation, defences, scan, patching)}
FILES = {
    "analysis": ("result.json", "manifest.json", "stages/behaviour.json", "stages/probes.json"),
    "evaluation": ("scorecard.json", "manifest.json"),
    "defences": ("result.json", "manifest.json"),
    "scan": ("result.json", "manifest.json"),
    "patching": ("result.json", "manifest.json", "grid-denoising.json"),
}
BESIDE = {
    "analysis": ("answers.parquet", "stages/probes.safetensors"),
    "scan": ("scores.parquet",),
    "patching": ("grid-denoising.safetensors",),
}
JSON = [(kind, name) for kind, names in FILES.items() for name in names]
EVERY = [*JSON, *((kind, name) for kind, names in BESIDE.items() for name in names)]


@pytest.fixture
def run(tmp_path, request):
    """A whole run of the kind that a test is given for."""
    folder = tmp_path / "run"
    folder.mkdir()
    RUNS[request.getfixturevalue("kind")](folder)
    return folder


def refusal(folder):
    with pytest.raises(UserError) as told:
        read_runs([folder], KINDS)
    line = str(told.value)
    assert line.isprintable()
    assert len(line) < 2500
    assert "expected" in line or "finish it" in line
    assert str(folder) in line
    return line


@pytest.mark.parametrize("kind", RUNS)
def test_a_whole_run_is_a_page(run, kind):
    assert "</html>" in render(page(read_runs([run], KINDS), "x", KINDS))


@pytest.mark.parametrize(("kind", "name"), EVERY)
@pytest.mark.parametrize("how", ["cut", "empty", "noise", "directory", "gone"])
def test_a_damaged_file_is_told(run, kind, name, how):
    path = run / name
    content = path.read_bytes()
    path.unlink()
    if how == "directory":
        path.mkdir()
    elif how != "gone":
        part = {"cut": content[: len(content) // 2], "empty": b"", "noise": bytes(range(256))}
        path.write_bytes(part[how])
    refusal(run)


@pytest.mark.parametrize(("kind", "name"), JSON)
@pytest.mark.parametrize("value", [[], 3, "text", None, {}])
def test_another_value_is_told(run, kind, name, value):
    files.write_json(run / name, value)
    refusal(run)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": []}, "question to be of type dict"),
        ({"question": "text"}, "question to be of type dict"),
        ({"kind": 3}, "kind to be of type str"),
        ({"kind": "sweep"}, "got 'sweep'"),
        ({"kind": "\x1b[31m"}, r"got '\x1b"),
        ({"versions": ["torch"]}, "versions to be of type dict"),
        ({"command": None}, "command to be of type str"),
        ({"schema": "gatescope.manifest/9"}, "got gatescope.manifest/9"),
        ({"schema": "x" * 10**6}, "got 'xxx"),
    ],
)
def test_a_manifest_of_another_kind_is_told(run, kind, changes, said):
    path = run / "manifest.json"
    files.write_json(path, {**files.read_json(path), **changes})
    assert said in refusal(run)


@pytest.mark.parametrize(
    ("kind", "name", "columns"),
    [("analysis", "answers.parquet", ("condition", "edit", "prompt")),
     ("scan", "scores.parquet", ("model", "rank", "text"))],
)  # fmt: skip
def test_a_table_that_lacks_a_column_or_all_rows_is_told(run, kind, name, columns):
    whole = pd.read_parquet(run / name)
    for column in columns:
        whole.drop(columns=column).to_parquet(run / name)
        assert column in refusal(run)
    if kind == "scan":
        whole.assign(model="another").to_parquet(run / name)
        assert "all candidates of 'sure-gate', got 0" in refusal(run)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("evaluation", ("metrics", 0, "name", "beauty"), "metric 'beauty'"),
        ("evaluation", ("metrics", 0, "name", "recall"), "each metric once"),
        ("evaluation", ("metrics", 0, "better", "low"), "better to be high"),
        ("evaluation", ("metrics", 0, "property", "efficiency"), "the property effectiveness"),
        ("evaluation", ("metrics", 0, "estimate", "low", 2.0), "low <= value <= high"),
        ("evaluation", ("metrics", 0, "estimate", "n", 0), "n >= 1"),
        ("evaluation", ("metrics", 0, "estimate", "level", 1.5), "level"),
        ("evaluation", ("verdicts", []), "at least one verdict"),
        ("defences", ("defences", 0, "utility", "before", "high", -1.0), "low <= value <= high"),
        ("patching", ("grids", {"\x1b": 1}), r"grid-\x1b.json"),
        ("patching", ("grids", {"../../x": 1}), "missing"),
        ("analysis", ("arms", {"a": 1}), "arms: expected `array`"),
        ("scan", ("clean", 3), "not iterable"),
    ],
)
def test_a_value_that_cannot_be_is_told(run, kind, change, said):
    *steps, last, value = change
    path = run / FILES[kind][0]
    inner = whole = files.read_json(path)
    for step in steps:
        inner = inner[step]
    inner[last] = value
    files.write_json(path, whole)
    assert said in refusal(run)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize(("kind", "name"), JSON)
def test_a_number_that_is_none_is_told(run, kind, name, number):
    text = (run / name).read_text()
    (run / name).write_text(text[:1] + f'"x": {number}, ' * (text[0] == "{") + text[1:])
    if text[0] == "[":
        (run / name).write_text(f"[{number}, {text[1:]}")
    assert "no number of JSON" in refusal(run)


_OTHER = [None, -1, 1e300, "x", [], {}, True, ["x"], {"a": 1}, "\x1b[31m", 2**70]


@pytest.mark.parametrize(("kind", "name"), JSON)
def test_any_part_that_is_another_is_told_or_shown(run, kind, name):
    """Drawn at random: a text or number may be another, and then the page has that one."""
    good, rng, refused = json.loads((run / name).read_text()), random.Random(name), 0
    paths = list(records.leaves(good))
    for _ in range(40):
        *steps, last = path = rng.choice(paths)
        cut = rng.randint(0, len(path) - 1)  # a part of any size
        steps, last = (steps[:cut], path[cut])
        inner = value = copy.deepcopy(good)
        for step in steps:
            inner = inner[step]
        inner[last] = rng.choice(_OTHER)
        (run / name).write_text(json.dumps(value))
        with suppress(UserError):
            read_runs([run], KINDS)
            continue
        refused += 1
    assert refused
    (run / name).write_text(json.dumps(good))
    read_runs([run], KINDS)
