"""The worker: jobs of all tabs advance in turn, can be cancelled, lose nothing and stay bounded."""

import threading
import time

import pytest

from circuits.errors import UserError
from experiments.serve.worker import Worker


@pytest.fixture
def worker():
    made = Worker(sessions=4)
    yield made
    made.close()


def settled(worker, session, kind="answer"):
    for _ in range(500):
        state = worker.state(session, kind)
        if not state.active:
            return state
        time.sleep(0.005)
    raise AssertionError("the job did not end")


def test_jobs_of_several_tabs_advance_in_turn(worker):
    gate, order = threading.Event(), []

    def job(name):
        gate.wait()
        for i in range(4):
            order.append(name)
            yield i

    for name in ("a", "b", "c"):
        worker.submit(name, "answer", job(name))
    gate.set()
    assert [settled(worker, n).value for n in "abc"] == [3, 3, 3]
    assert all(sorted(order[i : i + 3]) == ["a", "b", "c"] for i in range(0, 12, 3))


def test_a_new_job_begins_before_others_go_on(worker):
    started, order = threading.Event(), []

    def long():
        for _ in range(50):
            order.append("long")
            started.set()
            time.sleep(0.002)
            yield None

    def short():
        order.append("short")
        yield None

    worker.submit("a", "answer", long())
    started.wait()
    worker.submit("b", "answer", short())
    settled(worker, "b")
    assert order.index("short") <= order.count("long")
    assert "short" in order[:10]


def test_polls_do_not_wait_for_a_slice(worker):
    hold = threading.Event()

    def job():
        hold.wait()
        yield 1

    worker.submit("a", "answer", job())
    begun = time.perf_counter()
    assert worker.state("a", "answer").active
    assert time.perf_counter() - begun < 0.1
    hold.set()
    assert settled(worker, "a").value == 1


def test_cancel_stops_and_keeps_what_was_found_and_asking_again_replaces(worker):
    closed = []

    def endless():
        try:
            for i in range(10**9):
                time.sleep(0.001)
                yield i
        finally:
            closed.append(True)

    first = worker.submit("a", "answer", endless())
    while worker.state("a", "answer").value is None:
        time.sleep(0.002)
    stopped = worker.cancel("a", "answer")
    assert (stopped.status, stopped.value is not None) == ("cancelled", True)
    assert stopped.version > first.version
    worker.submit("a", "answer", endless())
    worker.submit("a", "answer", iter_once("new"))
    state = settled(worker, "a")
    assert (state.status, state.value) == ("done", "new")
    assert closed == [True] or closed == [True, True]


def iter_once(value):
    yield value


@pytest.mark.parametrize("kind", [UserError, RuntimeError, KeyError, ValueError, OSError])
def test_a_failed_job_says_why_and_others_go_on(worker, kind):
    def bad():
        raise kind("prompt: expected fewer tokens")
        yield

    worker.submit("a", "answer", bad())
    state = settled(worker, "a")
    assert state.status == "failed"
    assert "prompt: expected fewer tokens" in state.message
    worker.submit("b", "answer", iter_once(7))
    assert settled(worker, "b").value == 7


def test_sessions_are_bounded_in_number_and_idle_time():
    now = [0.0]
    worker = Worker(sessions=3, idle_s=10, clock=lambda: now[0])
    for name in "abcde":
        worker.submit(name, "answer", iter_once(name))
    assert len(worker._sessions) == 3
    assert settled(worker, "e").value == "e"
    now[0] = 11
    worker.state("new", "answer")
    assert len(worker._sessions) == 1
    assert worker.state("e", "answer").status == "idle"
    worker.close()
