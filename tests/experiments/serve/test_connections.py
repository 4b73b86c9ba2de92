"""Half-sent requests, however many and however slow, keep nobody waiting."""

import os
import resource
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
from flask import Flask, request

from circuits.errors import UserError
from experiments.serve import connections
from experiments.serve.connections import Connections, Server
from experiments.serve.security import MOST_BYTES, Access
from experiments.serve.server import listening

HALVES = {
    "nothing": b"",
    "a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
    "a body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
    "a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhalf",
}


@pytest.fixture
def served():
    app = Flask("echo")
    app.add_url_rule("/", view_func=lambda: str(len(request.get_data())), methods=["GET", "POST"])

    @contextmanager
    def run():
        with listening(Access("127.0.0.1", 0)) as listener, Server(listener, app) as server:
            thread = threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True)
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    return run


def sent(server, content):
    one = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    one.sendall(content)
    return one


def asked(server, body=b"whole"):
    """Seconds until a whole request is answered."""
    begun = time.perf_counter()
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with sent(server, head + body) as one:
        answer = b""
        while part := one.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert answer.endswith(f"\r\n\r\n{len(body)}".encode())
    return time.perf_counter() - begun


@pytest.mark.parametrize("half", HALVES)
def test_others_are_answered_while_hundreds_hold_half_a_request(served, half):
    before = threading.active_count()
    with served() as server, ExitStack() as held:
        for _ in range(3):
            for _ in range(100):
                held.enter_context(sent(server, HALVES[half]))
            assert asked(server) < 2
            assert len(server.connections) <= connections.MOST
            assert threading.active_count() <= before + connections.MOST + 1


def test_with_few_files_others_are_answered_still(served):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = [socket.socket() for _ in range(160)]  # the other side's, opened before the limit
    with ExitStack() as held:
        for one in here:
            held.enter_context(one)
        files = len(os.listdir("/dev/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (files + 40, hard))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with served() as server:
            assert server.connections.most < 40
            for one in here:
                one.connect(("127.0.0.1", server.port))
                one.sendall(HALVES["a head"])
            assert asked(server) < 2


def test_a_byte_now_and_then_buys_no_time(served, monkeypatch):
    monkeypatch.setattr(connections, "ASKING_S", 0.5)
    with served() as server, sent(server, HALVES["a head"]) as one:
        begun = time.perf_counter()
        with suppress(ConnectionError):
            while time.perf_counter() - begun < 5:
                one.sendall(b"x")
                time.sleep(0.05)
        assert 0.4 < time.perf_counter() - begun < 3
        assert asked(server) < 2


def test_who_is_slow_but_in_time_is_answered(served):
    with served() as server, sent(server, HALVES["a body"]) as one:
        time.sleep(0.3)
        one.sendall(b"x" * 96)
        assert b" 200 OK" in one.recv(4096)


def test_a_body_that_is_too_long_is_not_waited_for(served):
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MOST_BYTES + 1}\r\n\r\n"
    with served() as server:
        server.app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
        with sent(server, head.encode()) as one:
            assert b" 413 " in one.recv(4096)


def test_those_that_ask_go_before_those_that_are_answered_and_the_young_stay():
    now, pairs = [0.0], [socket.socketpair() for _ in range(3)]
    open_ones = Connections(3, clock=lambda: now[0])
    first, second, third = (mine for mine, _ in pairs)
    open_ones.enter(first)
    open_ones.answered(first)
    now[0] = 1.0
    open_ones.enter(second)
    open_ones.end_oldest()
    assert ended(pairs) == [True, False, False]  # the only one that is not young
    now[0] = 2.0
    open_ones.enter(third)
    open_ones.answered(third)
    now[0] = 3.0
    open_ones.end_oldest()
    assert ended(pairs) == [True, True, False]
    now[0] += connections.ANSWERED_S
    open_ones.end_overdue()
    assert ended(pairs) == [True, True, True]
    for pair in pairs:
        for one in pair:
            one.close()


def ended(pairs):
    """Which of them the other side can no longer read."""

    def end(theirs):
        theirs.setblocking(False)
        try:
            return theirs.recv(1) == b""
        except BlockingIOError:
            return False

    return [end(theirs) for _, theirs in pairs]


def test_a_port_that_is_taken_is_one_line():
    with listening(Access("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken_twice = listening(Access("127.0.0.1", port))
        with pytest.raises(UserError, match=rf"^--port {port}: cannot listen on 127.0.0.1 \(Add"):
            taken_twice.__enter__()
    with listening(Access("127.0.0.1", port)):
        pass
