"""A soak of the app: tabs of a real browser that ask again and again, and the server's memory.

The server is a process of its own, as a user starts it. A tab asks, waits for the first token (seen
in the page), waits for the end, and asks another prompt. An answer is lost if it has not ended in
``_PATIENCE_S`` or ended as something other than done.
"""

import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from circuits.errors import UserError
from experiments.bench.cost import kib
from experiments.runs.stages import Step
from viz.browser import chromium

_PATIENCE_S = 60.0
_GOING = ("", "done", "waiting for the model …", "working …")


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


@dataclass
class _Tab:
    page: Any
    asked_at: float = 0.0
    first: bool = True
    busy: bool = False
    count: int = 0
    before: str = ""
    noise: list[str] = field(default_factory=list)


def soak(subject: str, tabs: int, seconds: float, step: Step) -> Soak:
    """Run it.

    Raises:
        UserError: there is no Chromium, or the app does not start.
    """
    command = [sys.executable, "-m", "experiments.cli", "serve", subject, "--port", "0"]
    with chromium("bench app") as browser:
        server = subprocess.Popen([*command, "--no-open"], stdout=subprocess.PIPE, text=True)
        try:
            url = _address(server)
            return _run([_open(browser, url) for _ in range(tabs)], server.pid, seconds, step)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[str]) -> str:
    line = server.stdout.readline() if server.stdout else ""
    address = re.search(r"http://\S+", line)
    if address is None:
        raise UserError(f"bench app: expected the app's address, got {line.strip()[:200]!r}")
    return address[0]


def _open(browser: Any, url: str) -> _Tab:
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    tab = _Tab(page)
    page.on("console", lambda m: tab.noise.append(m.text))
    page.goto(url)
    page.locator("#bars .main-svg").first.wait_for(timeout=60_000)
    return tab


def _run(tabs: list[_Tab], server: int, seconds: float, step: Step) -> Soak:
    asked = finished = lost = 0
    first: list[float] = []
    memory = [_resident_mib(server)]
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds or any(t.busy for t in tabs):
        if now >= seconds * len(memory) / 5 and len(memory) < 5:
            memory.append(_resident_mib(server))
            step("soak", int(min(now, seconds)), int(seconds))
        for tab in tabs:
            if not tab.busy:
                if now < seconds:
                    _ask(tab)
                    asked += 1
                continue
            state = _look(tab)
            waited = time.perf_counter() - tab.asked_at
            if not tab.first and state["begun"]:
                first.append(waited)
                tab.first = True
            if state["status"] == "done" and tab.first:
                finished, tab.busy = finished + 1, False
            elif waited > _PATIENCE_S or state["status"] not in _GOING:
                lost, tab.busy = lost + 1, False
        time.sleep(0.03)
    memory.append(_resident_mib(server))
    noise = sum(len(t.noise) for t in tabs)
    length = time.perf_counter() - begun
    return Soak(len(tabs), length, asked, finished, lost, noise, tuple(first), tuple(memory))


def _ask(tab: _Tab) -> None:
    """Ask something that no answer was yet, so that the new answer can be told from the old."""
    tab.count += 1
    tab.before = f"Question {tab.count}: what goes into a classic ratatouille?"
    tab.page.fill("#text", tab.before)
    tab.page.click("#ask")
    tab.asked_at, tab.first, tab.busy = time.perf_counter(), False, True


def _look(tab: _Tab) -> dict[str, Any]:
    return tab.page.evaluate(
        """asked => {
          const text = document.querySelector('.answer.plain .prompt')?.textContent || '';
          return {begun: text.includes(asked) && !!document.querySelector('#said-plain .token'),
                  status: document.querySelector('#status').textContent};
        }""",
        tab.before,
    )


def _resident_mib(process: int) -> float:
    return kib("VmRSS", process) / 1024
