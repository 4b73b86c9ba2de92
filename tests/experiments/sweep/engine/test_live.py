"""The time that is left follows from what cells have taken, for each unit of their cost."""

import io

import pytest
from rich.console import Console

from experiments.sweep.engine.executor import Lost, Progressed, Started, Task
from experiments.sweep.engine.live import LiveView, Pace, clock, label

ERROR = {"type": "E", "message": "", "traceback": ""}


def finished(key, seconds):
    return Task(key, {}, {}).ended("h", seconds, row={})


def failed(key, seconds):
    return Task(key, {}, {}).ended("h", seconds, error=ERROR)


def test_time_left_is_seconds_per_cost_over_what_runs_at_a_time():
    pace = Pace({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    for key in "ab":
        pace.hear(Started(key, 1, "h"))
    assert pace.seconds_left() is None
    pace.hear(finished("a", 10.0))
    assert pace.seconds_left() == pytest.approx(10 * (2 + 3 + 4) / 2)
    pace.hear(Progressed("b", 1, 2))
    assert pace.seconds_left() == pytest.approx(10 * (1 + 3 + 4) / 2)
    pace.hear(Lost("b", 1, "died"))  # what it had done is lost
    assert pace.seconds_left() == pytest.approx(10 * (2 + 3 + 4) / 2)
    pace.hear(failed("b", 1000.0))  # its time says nothing of the others
    assert pace.seconds_left() == pytest.approx(10 * (3 + 4) / 2)
    pace.hear(finished("d", 10.0))
    assert pace.seconds_left() == pytest.approx(20 / 5 * 3)  # one is left, whatever the workers


def test_cells_are_told_apart_by_what_varies():
    assert label({"a": 1, "b": "x", "c": 0.5}, ["a", "c"]) == "a=1 c=0.5"
    assert clock(3723.4) == "1:02:03"


def drawn(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    tasks = [Task(key, {"mode": f"[{key}]"}, {}) for key in "abc"]
    with LiveView(console, tasks, ["mode"], lambda values: 1.0) as view:
        view(Started("a", 1, "h"))
        view(Started("b", 1, "h"))
        view(Progressed("b", 3, 7))
        view(failed("a", 2.0))
        view.refresh()
    return console.file.getvalue()


def test_running_cells_and_counts_are_drawn_on_a_terminal_and_nowhere_else():
    text = drawn(terminal=True)
    last = text[text.rindex("cells") :]
    assert "1/3" in last
    assert "0 done, 1 failed" in last
    assert "mode=[b]" in last
    assert "3/7" in last
    assert "mode=[a]" not in last
    assert drawn(terminal=False).strip() == ""
