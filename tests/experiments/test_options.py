"""Options are the fields of a question: its defaults, its help, the records in it."""

import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from circuits.errors import UserError
from experiments.options import answered, command_line, parameters


@dataclass(frozen=True)
class Plan:
    """Knows no terminal."""

    dose: int = 3
    seed: int = 0
    hidden: str = "as it is"


@dataclass(frozen=True)
class Thing:
    name: Annotated[str, typer.Argument(metavar="thing", help="Which.")]
    model: Annotated[str, typer.Option(help="What it is on.")] = "small"


@dataclass(frozen=True)
class Question:
    thing: Thing
    count: Annotated[int, typer.Option(help="How many.")] = 12
    place: Annotated[Literal["before", "after"], typer.Option(help="Where.")] = "after"
    words: Annotated[tuple[str, ...], typer.Option("--word", help="Each.")] = ("a", "b")
    sure: Annotated[bool, typer.Option("--sure", help="Turned on.")] = False
    loud: Annotated[bool, typer.Option(help="Turned off.")] = True
    file: Annotated[Path | None, typer.Option(help="None by default.")] = None
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0
    plan: Annotated[
        Plan, {"dose": typer.Option(help="How much."), "seed": typer.Option(help="Not shown.")}
    ] = field(default_factory=Plan)
    inner: int = 7

    def __post_init__(self):
        if self.count < 2:
            raise UserError(f"--count: expected at least 2, got {self.count}")


@pytest.fixture
def ask():
    """Asks a command line; returns its status, the question and what was printed."""

    def run(*args):
        heard = []

        def command(**values):
            heard.append(answered(Question, values))

        asked = parameters(Question)
        command.__signature__ = inspect.Signature([*asked.values()])
        command.__annotations__ = {name: each.annotation for name, each in asked.items()}
        app = typer.Typer(add_completion=False)
        app.command()(command)
        result = CliRunner().invoke(app, list(args), env={"COLUMNS": "200"})
        return result.exit_code, heard, result.output

    return run


def test_what_is_not_said_has_the_questions_default(ask):
    assert ask("x")[:2] == (0, [Question(Thing("x"))])


def test_every_field_that_asks_is_an_option_and_no_other_is(ask):
    assert list(parameters(Question)) == [
        *("name", "model", "count", "place", "words", "sure", "loud", "file", "seed", "dose")
    ]
    help = ask("--help")[2]
    for said in ("thing", "--model", "What it is on.", "[default: 12]", "<before|after>", "--word"):
        assert said in help
    for hidden in ("--inner", "--hidden", "--no-sure", "Not shown."):
        assert hidden not in help


def test_what_is_said_is_in_the_question_and_in_the_records_in_it(ask):
    words = ("--word", "c", "--word", "d", "--sure", "--no-loud", "--file", "x.txt")
    status, heard, _ = ask("x", "--model", "big", "--dose", "9", "--seed", "4", *words)
    assert (status, len(heard)) == (0, 1)
    assert heard[0] == Question(
        Thing("x", "big"), 12, "after", ("c", "d"), True, False, Path("x.txt"), 4, Plan(9, 4)
    )


def test_a_value_that_cannot_be_is_refused(ask):
    status, heard, said = ask("x", "--place", "between")
    assert (status, heard) == (2, [])
    assert "'between' is not one of 'before', 'after'" in said
    assert ask()[0] == 2
    with pytest.raises(UserError, match=r"^--count: expected at least 2, got 1$"):
        answered(Question, {"name": "x", "count": 1})


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(Thing("x")), "gatescope ask x"),
        (Question(Thing("a b"), seed=3, plan=Plan(seed=3)), "gatescope ask 'a b' --seed 3"),
        (Question(Thing("x"), words=("c", "d")), "gatescope ask x --word c --word d"),
        (Question(Thing("x"), sure=True, loud=False), "gatescope ask x --sure --no-loud"),
    ],
)
def test_the_shortest_command_leaves_defaults_out(question, said):
    assert command_line("ask", question) == said


def test_every_option_of_before_is_there_still():
    """The options of every study, as they were when they were written down one by one."""
    from experiments.commands import in_terminal
    from experiments.studies import COMMANDS
    from experiments.study import Study

    before = json.loads(Path(__file__).with_name("options.json").read_text())
    for name, load in COMMANDS.items():
        study = load()
        if isinstance(study, Study):
            app = typer.Typer(add_completion=False)
            app.command()(in_terminal(study))
            asked = typer.main.get_command(app).params
            now = sorted(
                spelled for each in asked for spelled in (*each.opts, *each.secondary_opts)
            )
            assert set(before[name]) <= {*now, *(each.metavar for each in asked)}, name
