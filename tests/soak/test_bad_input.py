"""What people give by mistake or in malice ends in one clear line: a seeded sample of the table.

The controls come first: mistakes planted on purpose are each told for what they are.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from circuits.errors import UserError
from tests.soak.bad_input import drive
from tests.soak.bad_input.drive import Case

ROOT = Path(__file__).parents[2]
SHARE, SEED = 0.05, 0


def _refused(text="--count: expected at least 2, got 1"):
    def call():
        raise UserError(text)

    return call


def _half_written(name):
    def call():
        Path("run").mkdir()
        Path("run", name).write_text("x")
        raise UserError("--count: expected at least 2, got 1")

    return call


def _broken():
    raise KeyError("trigger")


def _twice():
    print("gatescope: something is wrong", file=sys.stderr)
    raise UserError("--count: expected at least 2, got 1")


def _endless():
    while True:
        time.sleep(0.01)


def _hungry():
    return len(bytearray(2**40))


def _runs_code():
    Path(drive.CANARY).write_text("x")
    raise UserError("--count: expected at least 2, got 1")


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (_refused(), "right"),
        (_broken, "traceback"),
        (_hungry, "traceback"),
        (lambda: "done", "accepted though wrong"),
        (_endless, "no end"),
        (_runs_code, "code run"),
        (_refused("something is wrong"), "unclear"),
        (_twice, "unclear"),
        (_half_written("result.json"), "left behind"),
        (_half_written(".result.json-a1b2c3d4"), "left behind"),
        (lambda: sys.exit(7), "traceback"),
    ],
)
def test_a_planted_mistake_is_told_for_what_it_is(tmp_path, call, what):
    case = Case("planted", "python", call, r"--count.*got 1$", limit_s=1.0)
    assert drive.run(case, tmp_path, tmp_path / "case").what == what


@pytest.mark.parametrize(
    ("call", "what"),
    [(lambda: "denoising", "right"), (_refused(), "refused though good"), (int, "unclear")],
)
def test_what_is_good_must_be_accepted_and_said(tmp_path, call, what):
    case = Case("planted", "python", call, "denoising", accepted=True)
    assert drive.run(case, tmp_path, tmp_path / "case").what == what


def test_nothing_that_a_case_started_goes_on(tmp_path):
    def call():
        subprocess.Popen(["sleep", "50"])
        Path("pid").write_text("there")
        return _endless()

    began = time.monotonic()
    case = Case("planted", "python", call, "", limit_s=1.0)
    assert drive.run(case, tmp_path, tmp_path / "case").what == "no end"
    assert time.monotonic() - began < 10
    assert (tmp_path / "case/work/pid").exists()


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    """The sample, run in a process without the tests' own annotations."""
    file = tmp_path_factory.mktemp("bad") / "outcomes.json"
    words = ["-m", "tests.soak.bad_input", "--json", file, "--share", SHARE, "--seed", SEED]
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=False, timeout=300)
    return json.loads(file.read_text())


@pytest.mark.parametrize("tenth", range(10))
def test_bad_input_ends_in_one_clear_line(outcomes, tenth):
    assert len(outcomes) >= 30
    wrong = [each for each in outcomes[tenth::10] if each["what"] != "right"]
    assert wrong == []
