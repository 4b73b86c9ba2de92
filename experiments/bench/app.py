"""A soak of the app: tabs of a real browser that ask again and again, and the server's memory.

The server is a process of its own, as a user starts it. A tab asks, waits for the first token (seen
in the page), waits for the end, and asks another prompt. An answer is lost if it has not ended in
``_PATIENCE_S`` or ended as something other than done.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from circuits.errors import UserError, expect
from experiments import checks
from experiments.bench.cost import kib
from experiments.runs.stages import Step
from viz.browser import chromium

_PATIENCE_S = 60.0
_DAY = 86_400.0
_GOING = ("", "done", "waiting for the model …", "working …")
_NUMBER = count(1)
_STATE = """asked => {
  const text = document.querySelector('.answer.plain .prompt')?.textContent || '';
  return {begun: text.includes(asked) && !!document.querySelector('#said-plain .token'),
          status: document.querySelector('#status').textContent};
}"""


@dataclass(frozen=True)
class Soak:
    """What the tabs saw.

    Attributes:
        first_s: seconds from the click to the first token in the page, per answer.
        resident_mib: the server's resident memory at the start, after each fifth, at the end.
    """

    tabs: int
    seconds: float
    asked: int
    finished: int
    lost: int
    noise: int
    first_s: tuple[float, ...]
    resident_mib: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Of the times to the first token."""
        ordered = sorted(self.first_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        memory = " → ".join(f"{m:.0f}" for m in self.resident_mib)
        return (
            f"{self.tabs} tabs, {self.seconds:.0f} s: asked {self.asked}, finished "
            f"{self.finished}, lost {self.lost}; first token median {self.quantile(0.5):.2f} s, "
            f"p95 {self.quantile(0.95):.2f} s, most {max(self.first_s, default=0):.2f} s; server "
            f"{memory} MiB; console messages {self.noise}"
        )


def soak(subject: str, tabs: int, seconds: float, step: Step) -> Soak:
    """Run it.

    Raises:
        UserError: no tabs or no time, there is no Chromium, or the app does not start.
    """
    checks.whole(tabs, "--tabs", 1, 1000)
    expect(0 < seconds < _DAY, "seconds above 0, less than a day", seconds, of="--seconds")
    command = [sys.executable, "-m", "experiments.cli", "serve", subject, "--port", "0"]
    with chromium("bench app") as browser:
        server = subprocess.Popen([*command, "--no-open"], stdout=subprocess.PIPE, text=True)
        try:
            url = _address(server)
            noise: list[str] = []
            pages = [_open(browser, url, noise) for _ in range(tabs)]
            return _run(pages, noise, server.pid, seconds, step)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[str]) -> str:
    line = server.stdout.readline() if server.stdout else ""
    address = re.search(r"http://\S+", line)
    if address is None:
        raise UserError(f"bench app: expected the app's address, got {line.strip()[:200]!r}")
    return address[0]


def _open(browser: Any, url: str, noise: list[str]) -> Any:
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    page.on("console", lambda message: noise.append(message.text))
    page.goto(url)
    page.locator("#bars .main-svg").first.wait_for(timeout=60_000)
    return page


def _run(pages: list[Any], noise: list[str], server: int, seconds: float, step: Step) -> Soak:
    counts: Counter[str] = Counter()
    first: list[float] = []
    memory = [_resident_mib(server)]
    begun = time.perf_counter()
    users = [_use(page, begun + seconds, counts, first) for page in pages]
    while users:
        now = time.perf_counter() - begun
        if now >= seconds * len(memory) / 5 and len(memory) < 5:
            memory.append(_resident_mib(server))
            step("soak", int(min(now, seconds)), int(seconds))
        users = [user for user in users if next(user, False)]
        time.sleep(0.03)
    memory.append(_resident_mib(server))
    answers = counts["asked"], counts["finished"], counts["lost"]
    length = time.perf_counter() - begun
    return Soak(len(pages), length, *answers, len(noise), tuple(first), tuple(memory))


def _use(page: Any, end: float, counts: Counter[str], first: list[float]) -> Iterator[bool]:
    """One tab's questions, one after the other; yields whenever it has looked."""
    while time.perf_counter() < end:
        counts["asked"] += 1
        # Something that no answer was yet, so that the new answer can be told from the old.
        text = f"Question {next(_NUMBER)}: what goes into a classic ratatouille?"
        page.fill("#text", text)
        page.click("#ask")
        asked, begun, going = time.perf_counter(), False, True
        while going:
            yield True
            state, waited = page.evaluate(_STATE, text), time.perf_counter() - asked
            if state["begun"] and not begun:
                first.append(waited)
                begun = True
            finished = begun and state["status"] == "done"
            lost = not finished and (waited > _PATIENCE_S or state["status"] not in _GOING)
            counts["finished"] += finished
            counts["lost"] += lost
            going = not finished and not lost


def _resident_mib(process: int) -> float:
    return kib("VmRSS", process) / 1024
