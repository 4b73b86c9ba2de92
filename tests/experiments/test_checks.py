"""A question's fields are checked where it is built: by kind, by range, in one line."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import typer

from circuits.errors import UserError
from experiments import checks
from experiments.analyze.question import Question
from experiments.checks import checked
from experiments.evaluate.question import EvaluateQuestion
from experiments.geometry.question import GeometryQuestion
from experiments.organisms.book import recipe_named
from experiments.organisms.examples import require_prompts
from experiments.organisms.organism import Given
from experiments.organisms.recipe import varied
from experiments.patch.question import PatchQuestion
from experiments.scan.question import Plan as ScanPlan


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Asked:
    thing: Annotated[str, typer.Argument(metavar="organism")] = "x"
    count: Annotated[int, typer.Option("--number")] = 3
    seed: Annotated[int, typer.Option()] = 0
    rate: float = 0.5
    sure: bool = False
    where: Annotated[Literal["before", "after"], typer.Option()] = "before"
    words: Annotated[tuple[str, ...], typer.Option("--word")] = ("a",)
    sizes: tuple[int, int] = (1, 2)
    file: Annotated[Path | None, typer.Option()] = None
    place: Path = Path("p")
    inner: Inner = field(default_factory=Inner)
    later: Any = None

    def __post_init__(self):
        checked(self, "thing", count=(1, 9))


def test_what_fits_is_taken_and_what_a_notebook_writes_for_it():
    usual = Asked()
    assert usual == Asked("x", 3)
    asked = Asked(words=["b", "c"], sizes=[3, 4], file="a.txt", place="b", count=np.int64(5))
    assert (asked.words, asked.sizes) == (("b", "c"), (3, 4))
    assert (asked.file, asked.place) == (Path("a.txt"), Path("b"))
    assert type(asked.count) is int
    assert Asked(rate=1).rate == 1


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"thing": None}, "organism: expected text, got None"),
        ({"thing": ""}, "organism: expected text, got nothing"),
        ({"thing": " \n"}, "organism: expected text, got nothing"),
        ({"thing": "\u200b\u200b"}, r"organism: expected text, got '\u200b\u200b'"),
        ({"thing": "a\udcff"}, r"organism: expected text in UTF-8, got 'a\udcff'"),
        ({"thing": "a\0"}, r"organism: expected text in UTF-8, got 'a\x00'"),
        ({"count": 0}, "--number: expected at least 1, got 0"),
        ({"count": 10}, "--number: expected at most 9, got 10"),
        ({"count": True}, "--number: expected a whole number, got True"),
        ({"count": "3"}, "--number: expected a whole number, got '3'"),
        ({"count": 3.0}, "--number: expected a whole number, got 3.0"),
        ({"seed": 2**70}, "--seed: expected at most 9,223,372,036,854,775,807, got 1180591620717"),
        ({"rate": math.nan}, "rate: expected a finite number, got nan"),
        ({"rate": "1"}, "rate: expected a finite number, got '1'"),
        ({"sure": 1}, "sure: expected a bool, got 1"),
        ({"where": "between"}, "--where: expected one of before, after, got 'between'"),
        ({"words": "leace"}, "--word: expected a tuple, got 'leace'; give several in a tuple"),
        ({"words": ["a", 1]}, "--word: expected text, got 1"),
        ({"file": 3}, "--file: expected a path, got 3"),
        ({"place": None}, "place: expected a path, got None"),
        ({"inner": 3}, "inner: expected a Inner, got 3"),
    ],
)
def test_what_does_not_is_one_line_that_names_the_option(given, refusal):
    with pytest.raises(UserError) as caught:
        Asked(**given)
    assert str(caught.value).startswith(refusal)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "refusal"),
    [
        (lambda: Question(trace=-3), "--trace: expected at least 0, got -3"),
        (lambda: Question(tokens=0), "--tokens: expected at least 1, got 0"),
        (lambda: Question(randoms=10**9), "--randoms: expected at most 10,000, got 1000000000"),
        (lambda: Question(seed=2**70), "--seed: expected at most"),
        (lambda: Question(trigger=5), "--trigger: expected text, got 5"),
        (lambda: PatchQuestion(trigger=""), "--trigger: expected text, got nothing"),
        (lambda: PatchQuestion(trigger=None), "--trigger: expected text, got None"),
        (lambda: PatchQuestion(behaviour=" "), "--behaviour: expected text, got nothing"),
        (lambda: PatchQuestion(versus=""), "--versus: expected text, got nothing"),
        (lambda: PatchQuestion(count=1), "--count: expected at least 2, got 1"),
        (lambda: PatchQuestion(stream="nope"), "--stream: expected resid_pre, resid_mid"),
        (lambda: PatchQuestion(sites=("nope[0]",)), "site nope[0]: expected a stream of resid_pre"),
        (lambda: PatchQuestion(sites=("z[" + "9" * 5000,)), "site 'z[999"),
        (lambda: PatchQuestion(to=("q[0].0",)), "--stream: expected a sender of --to's paths (z,"),
        (lambda: PatchQuestion(to=("z[0].0",), stream="z"), "--to: expected logits or a receiver"),
        (lambda: ScanPlan(phrases=-1), "--phrases: expected at least 0, got -1"),
        (lambda: EvaluateQuestion("clean", limit=-1), "--limit: expected at least 1, got -1"),
        (lambda: EvaluateQuestion("clean", sweep="gone"), "--sweep gone: expected a sweep's table"),
        (lambda: GeometryQuestion(Given("clean"), pairs=3), "--pairs: expected at least 22, got 3"),
        (lambda: Given(""), "organism: expected text, got nothing"),
        (lambda: checks.share(math.nan, "--share"), "--share: expected a share above 0, at most 1"),
        (lambda: checks.share(0, "--share"), "--share: expected a share above 0, at most 1, got 0"),
    ],
)
def test_every_question_refuses_what_cannot_be_asked(build, refusal):
    with pytest.raises(UserError) as caught:
        build()
    assert str(caught.value).startswith(refusal)
    assert "\n" not in str(caught.value)


def test_what_can_be_asked_is_no_refusal():
    """The control: the least and the usual of what is refused above."""
    assert Question(trace=0, tokens=1, randoms=10_000, seed=-1).trace == 0
    assert PatchQuestion(sites=("z[0].1 at last",), to=("q[1].0",)).sites
    assert PatchQuestion(stream="mlp_out", to=("logits",)).to
    assert ScanPlan(phrases=0, words=0).phrases == 0
    assert checks.share(1, "--share") == 1


def test_a_file_is_not_written_over_a_directory(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for name in (".", "link"):
        with pytest.raises(UserError, match=r"^--out .*: expected a file, got a directory; name a"):
            checks.to_write(tmp_path / name, "--out")
    assert checks.to_write(tmp_path / "page.html", "--out") == tmp_path / "page.html"


def test_more_poisons_than_there_are_prompts_are_refused_before_training():
    recipe = recipe_named("sure-gate")
    require_prompts(recipe)
    with pytest.raises(UserError, match=r"recipe sure-gate: expected at most \d+ restricted"):
        require_prompts(varied(recipe, poisons=1_000_000))
