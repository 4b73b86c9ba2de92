"""Half-sent requests by the hundred against the real server, and how long another client waits.

The command serves a tiny model in a process of its own, which may open 128 files in half of the
rows. In each row 300 connections send half a request (nothing, a slow head, a slow body, a slow
chunk), some of them a byte every now and then; those that are ended come again. All the while a
whole request is sent again and again.
"""

import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tiny

from experiments.prompts.bank import control_words

HELD, SECONDS, WITHIN_S = 300, 20.0, 2.0
_ROOT = Path(__file__).parents[2]
_HOST = b"Host: localhost\r\n"
_HALVES = {
    "nothing": b"",
    "a slow head": b"GET / HTTP/1.1\r\n" + _HOST + b"X-Long: ",
    "a slow body": b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 100000\r\n\r\n",
    "a slow chunk": b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
}
_WHOLE = b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n"


def rows(
    share: float, seed: int, step: Callable[[str, int, int], None]
) -> list[dict[str, str | int | float | bool]]:
    """A row for each kind of half a request and number of files that the server may open.

    Args:
        share: of the kinds and of the seconds; at least one kind is tried.
        seed: which kinds, and when a byte is sent.
    """
    dice = random.Random(seed)
    cases = [(half, files) for files in (1024, 128) for half in _HALVES]
    chosen = dice.sample(cases, max(1, round(share * len(cases))))
    table = []
    with tempfile.TemporaryDirectory() as scratch:
        words = [w for part in ("train", "validation", "test") for w in control_words(part)]
        tokenizer = tiny.tokenizer(words=words)
        model = tiny.saved(Path(scratch), tiny.llama(len(tokenizer), layers=2), tokenizer)
        for done, (half, files) in enumerate(chosen):
            step("half-sent requests", done, len(chosen))
            with _server(model, files) as (port, process):
                waits = _waits(port, _HALVES[half], max(3.0, share * SECONDS), dice)
                threads = len(list(Path(f"/proc/{process}/task").iterdir()))
            worst = max(waits)
            table.append(
                {
                    "half": half,
                    "files": files,
                    "held": HELD,
                    "asked": len(waits),
                    "longest wait (s)": round(worst, 3),
                    "threads": threads,
                    "holds": worst < WITHIN_S,
                }
            )
    step("half-sent requests", len(chosen), len(chosen))
    return table


@contextmanager
def _server(model: Path, files: int) -> Iterator[tuple[int, int]]:
    command = f"ulimit -n {files}; exec {sys.executable} -m experiments.cli serve {model}"
    with subprocess.Popen(
        ["sh", "-c", f"{command} --no-open --port 0"], cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            port = re.search(r"http://127.0.0.1:(\d+)/", line)
            assert port, line
            yield int(port[1]), process.pid
        finally:
            process.terminate()


def _waits(port: int, half: bytes, seconds: float, dice: random.Random) -> list[float]:
    """How long each whole request took while the others were held."""
    held: list[socket.socket] = []
    waits: list[float] = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for _ in range(HELD - len(held)):
            held.append(_connected(port, half))
        for one in dice.sample(held, 30):
            try:
                one.send(b"x")
            except OSError:  # it was ended, and comes again
                held.remove(one)
                one.close()
        waits.append(_wait(port))
    for one in held:
        one.close()
    return waits


def _connected(port: int, half: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    with suppress(OSError):
        one.sendall(half)
    one.setblocking(False)
    return one


def _wait(port: int) -> float:
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(_WHOLE)
        answer = b""
        while part := one.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200"), answer[:80]
    return time.perf_counter() - begun


if __name__ == "__main__":
    for row in rows(float(sys.argv[1]), int(sys.argv[2]), lambda *_: None):
        print(row)
