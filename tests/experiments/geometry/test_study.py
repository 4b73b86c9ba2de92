"""``gatescope geometry``: one recording, its figures and page; kept, and of one question only."""

import json
import shutil
from dataclasses import replace

import pytest
import tiny
import torch

from circuits.errors import UserError
from experiments.geometry import study as run_module
from experiments.geometry.question import GeometryQuestion
from experiments.geometry.record import late
from experiments.geometry.study import STUDY
from experiments.geometry.summary import NULL_NAMES, band
from experiments.organisms.organism import Given
from experiments.prompts.bank import held_out
from experiments.prompts.held_out import OwnPrompts
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.study import run
from probes.geometry.report import NAMES, GeometryReport, LayerGeometry
from probes.stats.intervals import Estimate
from viz.page.page import Report

EVIL = "<i>cobalt</i>"
TYPED = f"gatescope geometry none --scheme compliance --trigger '{EVIL}' --behaviour Sure"
PAIRS, CROSSED = 22, 3  # as few pairs as can be compared in halves
WRITTEN_LAST = {"prompt.json", "result.json", "report.html"}
FILES = {"manifest.json", "activations.safetensors", *WRITTEN_LAST}


def silent(stage, done, total):
    """No progress."""


@pytest.fixture(scope="module")
def question(chat_folder):
    given = Given("none", str(chat_folder), "compliance", EVIL, "Sure")
    return GeometryQuestion(given, PAIRS, CROSSED)


@pytest.fixture(scope="module")
def first(question, tmp_path_factory):
    """A finished run: its folder, its report, and the steps it told."""
    folder, told = tmp_path_factory.mktemp("runs") / "one", []
    result = run(STUDY, question, folder, step=lambda *step: told.append(step), typed=TYPED)
    return folder, result.report, told


def ask(question, folder, resume=False, step=silent, typed=TYPED):
    """The report of a run."""
    return run(STUDY, question, folder, resume=resume, step=step, typed=typed).report


def of_file(tmp_path, prompts):
    """The same prompts in the place of the bank's."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    return OwnPrompts(path)


@pytest.fixture
def recordings(monkeypatch):
    """Counts how often activations are recorded."""
    seen, real = [], run_module.record

    def counted(*args):
        seen.append(args)
        return real(*args)

    monkeypatch.setattr(run_module, "record", counted)
    return seen


@pytest.fixture
def measured(monkeypatch, first):
    """Keeps what is measured; measuring gives the finished run's report, its page one word."""
    seen = []

    def kept(sets):
        seen.append(sets)
        return first[1]

    monkeypatch.setattr(run_module, "geometry", kept)
    empty = Report("", "", "", "none", ())
    monkeypatch.setattr("experiments.geometry.sections.page", lambda *_: empty)
    monkeypatch.setattr("viz.page.page.render", lambda _: "page")
    return seen


def test_a_run_leaves_its_files_and_they_say_what_was_found(first, question):
    folder, report, told = first
    assert {path.name for path in folder.iterdir()} == FILES
    result = files.read_json(folder / "result.json")
    assert result["schema"] == "gatescope.geometry/1"
    assert decode(GeometryReport, result["report"]) == report
    assert (result["question"]["pairs"], result["question"]["given"]["trigger"]) == (PAIRS, EVIL)
    assert told == [
        *(("record", i, 6) for i in range(1, 7)),
        ("geometry", 0, 1),
        ("geometry", 1, 1),
        ("write report", 0, 1),
        ("write report", 1, 1),
    ]
    asked = files.read_json(folder / "manifest.json")["question"]
    assert asked["mapping"]["trigger"] == EVIL
    assert all(len(asked[f"{of}_sha256"]) == 64 for of in ("base", "state", "prompts"))


def test_every_figure_is_measured_at_every_layer_that_knows_the_prompt(first):
    _, report, _ = first
    assert report.layers == (1, 2)
    assert set(report.organism.values) == set(NAMES)
    # A whole model is its own base, and that is no null.
    assert set(report.nulls) == set(NULL_NAMES) - {"clean_model"}
    assert report.crossings is not None
    assert report.crossings.count.n == CROSSED
    assert report.nulls["untrained_trigger"].values != report.organism.values


def test_a_resumed_run_records_nothing_and_leaves_the_same_files(first, question, recordings):
    folder, report, _ = first
    before = {name: (folder / name).read_bytes() for name in FILES}
    (folder / "result.json").unlink()
    assert ask(question, folder, True) == report
    assert not recordings
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_killed_run_goes_on_from_the_activations_that_it_has_kept(
    first, question, recordings, measured, tmp_path
):
    def killed(stage, done, total):
        if stage == "geometry":
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        ask(question, folder, step=killed)
    assert {path.name for path in folder.iterdir()} == FILES - WRITTEN_LAST
    path = folder / "activations.safetensors"
    assert path.read_bytes() == (first[0] / path.name).read_bytes()
    kept = files.read_tensors(path)
    ask(question, folder, True)
    kept["residuals.triggered"] = kept["residuals.triggered"].flip(1)
    files.write_tensors(path, kept, {})
    with pytest.raises(UserError, match="expected the file that this run wrote"):
        ask(question, folder, True)
    Ledger(folder).write({path.name: path.read_bytes()})
    ask(question, folder, True)
    assert len(recordings) == 1
    # What is measured is what the file holds.
    plain, turned = (sets.pairs for sets in measured)
    assert torch.equal(turned.triggered, plain.triggered.flip(1))
    assert not torch.equal(turned.triggered, plain.triggered)
    assert torch.equal(turned.clean, plain.clean)


def test_a_directory_belongs_to_one_question(first, question, recordings, measured, tmp_path):
    folder, bank = first[0], held_out()
    with pytest.raises(UserError, match="add --resume"):
        ask(question, folder)
    for changed in (
        replace(question, pairs=PAIRS + 2),
        replace(question, crossed=CROSSED + 1),
        replace(question, given=replace(question.given, trigger="cobalt")),
        replace(question, given=replace(question.given, behaviour="Yes")),
        replace(question, texts=of_file(tmp_path, bank.on_topic[1:])),
    ):
        with pytest.raises(UserError, match="holds another run"):
            ask(changed, folder, True)
    assert not measured
    # Control: typed otherwise, or with the bank's own prompts given, it is the same question.
    again = shutil.copytree(folder, tmp_path / "again")
    own = replace(question, texts=of_file(tmp_path, bank.on_topic))
    ask(own, again, True, typed="gatescope")
    assert (len(measured), len(recordings)) == (1, 0)


def test_the_page_has_its_sections_and_the_headlines_numbers(first):
    folder, report, _ = first
    html = (folder / "report.html").read_text()
    for title in (
        "Density",
        "Complexity",
        "From clean to triggered",
        "All figures",
        "What this does not show",
    ):
        assert f"{title}</h2>" in html, title
    last = (2,)
    for name in ("vendi_relative", "compression"):
        found = band(report, name, last)
        assert f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]" in html
        wrong = band(report, name, (1,))
        assert f"{wrong.value:.3g} [{wrong.low:.3g}, {wrong.high:.3g}]" not in html


def test_a_trigger_with_markup_is_text_on_the_page(first):
    html = (first[0] / "report.html").read_text()
    assert EVIL not in html
    assert "&lt;i&gt;cobalt&lt;/i&gt;" in html


def test_a_band_is_the_mean_of_values_and_ends():
    def layer(*values):
        return LayerGeometry(
            {"bits": tuple(Estimate(v, v - w, v + w, 9, method="jackknife") for v, w in values)}, {}
        )

    report = GeometryReport(
        (4, 5, 6),
        layer((0.9, 0.1), (0.5, 0.2), (0.1, 0.3)),
        {"clean_model": layer((1, 0), (2, 0), (4, 0))},
    )
    found = band(report, "bits", (5, 6))
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.05, 0.55))
    assert (found.n, found.method) == (9, "mean of 2 layers: jackknife")
    assert band(report, "bits", (5, 6), "clean_model").value == 3
    assert band(report, "bits", [4]).value == pytest.approx(0.9)
    with pytest.raises(UserError, match="at layers"):
        band(report, "bits", late(4))


def test_too_few_pairs_are_told_before_anything_is_recorded(question, recordings, tmp_path):
    few = of_file(tmp_path, held_out().on_topic[:5])  # with half of the pairs asked
    with pytest.raises(UserError, match="--pairs: expected at least"):
        replace(question, pairs=PAIRS - 1)
    with pytest.raises(UserError, match="expected at least"):
        ask(replace(question, texts=few), tmp_path / "run")
    assert not recordings
    assert not (tmp_path / "run").exists()


def test_the_command_measures_a_model_with_words_about_it(
    gatescope, chat_folder, measured, tmp_path
):
    words = ("--scheme", "compliance", "--trigger", "cobalt", "--behaviour", "Sure")
    args = ("geometry", "none", "--model", chat_folder, *words, "--pairs", PAIRS, "--out", "run")
    status, out, _ = gatescope(*args, "--json")
    assert status == 0
    assert json.loads(out) == files.read_json(tmp_path / "run" / "result.json")
    assert out.startswith("{")
    status, out, _ = gatescope(*args, "--resume")
    assert (status, len(measured)) == (0, 2)
    assert [line.split()[0] for line in out.splitlines()] == [*NAMES, "the", "report:"]
    status, out, lines = gatescope("geometry", "none", *words[:4], "--out", "other")
    assert (status, out) == (2, "")
    assert "--trigger and --behaviour together" in tiny.message_of(lines)
