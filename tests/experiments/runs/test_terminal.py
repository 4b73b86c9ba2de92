"""Nothing that a terminal obeys leaves by it: whatever is printed, by whichever way."""

import io

import pytest
from rich.console import Console

from experiments.runs import terminal
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import one_line, printable, say, tell

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\rOK \x9b31m \u202egnp.exe\u2066 \u200bx\x00\x08 \U000e0041 \u2028"
)
OBEYED = set(HOSTILE) - set(" ;]0owned[2JOK31mgnp.exex")


def test_what_terminals_obey_is_spelled_and_the_rest_stays():
    assert not OBEYED & set(printable(HOSTILE))
    assert printable("\x1b[2J\r\u202e") == "\\x1b[2J\\r\\u202e"
    plain = "a\tb\nçü 漢字 👩\u200d💻 🏳️ می\u200cخواهم → ×"
    assert printable(plain) == plain
    assert one_line("a\nb") == "a\\nb"


def test_standard_output_and_error_are_printable(capsys):
    say(HOSTILE, 3)
    tell(HOSTILE)
    printed = capsys.readouterr()
    assert not OBEYED & {*printed.out, *printed.err}
    assert printed.out.endswith(" 3\n")
    assert len(printed.err.splitlines()) == 1


@pytest.fixture
def screen(monkeypatch):
    file = io.StringIO()
    console = terminal._Console(file=file, force_terminal=True, width=400)
    return console, file


def test_progress_shows_names_as_text_and_keeps_its_own_controls(screen):
    console, file = screen
    with StageProgress(console) as progress:
        progress.step(f"[/red] [bold]x {HOSTILE}", 1, 2)
    drawn = file.getvalue()
    assert "\x1b[?25l" in drawn  # the cursor is hidden, as progress does
    assert "\x1b]0;" not in drawn
    assert "[/red] [bold]x" in drawn
    assert not (OBEYED - {"\x1b", "\r"}) & set(drawn)


def test_tables_and_markup_of_rich_are_printable_too(screen):
    console, file = screen
    assert isinstance(console, Console)
    console.print(HOSTILE, markup=False)
    console.log(HOSTILE)
    assert "\x1b]0;" not in file.getvalue()
    assert "\u202e" not in file.getvalue()
