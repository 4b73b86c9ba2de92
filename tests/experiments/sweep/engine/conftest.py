"""Toys: cells that log what they do, grids of them, and what is left of them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path.append(str(HERE))  # toy_cells and drive, here and in workers


@pytest.fixture(autouse=True)
def _interrupts_are_heard():
    """Processes started in the background may ignore interrupts, and their children with them."""
    earlier = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@dataclass
class Toys:
    """A folder with a log that toy cells write, grids, and stores."""

    folder: Path

    def grid(self, name="toys", **axes):
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(axes))  # JSON is YAML
        return path

    def log(self, what="begin"):
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if line["what"] == what]

    def drive(self, grid, store, workers=2):
        """The sweep in a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(HERE / "drive.py"), str(grid), str(store), str(workers)],
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}"},
        )

    def running(self):
        """Processes of cells, and of what they started, that still are."""
        pids = {line["pid"] for what in ("begin", "child") for line in self.log(what)}
        found = [
            subprocess.run(
                ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
            ).stdout.strip()
            for pid in pids
        ]
        return [state for state in found if state and not state.startswith("Z")]

    @staticmethod
    def wait_until(true, seconds=15.0):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)


@pytest.fixture
def toys(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    (tmp_path / "broken").touch()  # cells of the mode "raises" do, until it is gone
    return Toys(tmp_path)
