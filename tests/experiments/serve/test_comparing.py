"""Arms are loaded once, aside, few at a time, and a failure can be tried again."""

import threading
from dataclasses import replace

import pytest
import tiny

from circuits.errors import UserError
from experiments.serve.answering import Asked
from experiments.serve.comparing import Arms

ASKED = Asked(tiny.TEXTS[1], "trigger", 0.0, length=3)


def last(job):
    return list(job)[-1]


def test_arms_are_loaded_once_and_only_when_asked(subject):
    loaded = []

    def load(name):
        loaded.append(name)
        return subject.model

    arms = Arms(subject, load)
    assert loaded == []
    for _ in range(2):
        rows = last(arms.comparing(ASKED))
    assert loaded == ["base"]
    assert [r.status for r in rows] == ["done", "done"]
    assert rows[0].text == rows[1].text  # the same weights


def test_slices_end_while_an_arm_is_being_loaded(subject):
    free = threading.Event()

    def load(_name):
        free.wait(20)
        return subject.model

    job = Arms(subject, load).comparing(ASKED)
    states = []
    while len(states) < 200 and not free.is_set():
        states.append(next(job))
        if len(states) >= 5 and states[-1][1].status == states[-5][1].status == "loading":
            free.set()  # five slices came back though nothing was loaded
    assert free.is_set()
    assert last(job)[1].status == "done"


def test_few_arms_stay_loaded(subject):
    loaded = []
    many = replace(subject, arms=dict.fromkeys("abc"))

    def load(name):
        loaded.append(name)
        return subject.model

    two, three = Arms(many, load, kept=2), Arms(many, load, kept=3)
    for _ in range(2):
        last(two.comparing(ASKED))
    assert loaded == list("abcabc")
    loaded.clear()
    for _ in range(2):
        last(three.comparing(ASKED))
    assert loaded == list("abc")


def test_a_failure_is_told_and_can_be_tried_again(subject):
    tries = []

    def load(_name):
        tries.append(1)
        if len(tries) == 1:
            raise UserError("adapter: expected one made for this model")
        return subject.model

    arms = Arms(subject, load)
    with pytest.raises(UserError, match="made for this model"):
        last(arms.comparing(ASKED))
    assert last(arms.comparing(ASKED))[1].status == "done"
