"""Cells that take no model and little time, and log when they begin and end, and where."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def measure(values, progress):
    """Sleeps ``seconds`` of progress, then does what ``mode`` says; its row depends on values."""
    _log("begin", values)
    steps = max(1, round(values["seconds"] / 0.05))
    for step in range(steps):
        time.sleep(values["seconds"] / steps)
        progress(step + 1, steps)
    _MODES[values["mode"]](values)
    _log("end", values)
    return row(values)


def row(values):
    """All kinds of columns, one of them with gaps."""
    size, seed = values["size"], values["seed"]
    gap = None if seed == 1 else size / 7
    return {"loss": seed / 3 + size, "hits": size * seed, "text": f"ü{size}", "gap": gap}


def surroundings(values, progress):
    """What a worker finds."""
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    return {**{name: os.environ[name] for name in names}, "torch": "torch" in sys.modules}


def _raises(values):
    if (_folder() / "broken").exists():
        raise ArithmeticError(f"no number for {values['size']}")


def _dies(values):
    os.kill(os.getpid(), signal.SIGKILL)


def _exits(values):
    print("the last words", flush=True)
    os._exit(3)


def _spawns(values):
    child = subprocess.Popen(["sleep", "60"])
    _log("child", values, child.pid)
    child.wait()


_MODES = {
    "fine": lambda values: None,
    "raises": _raises,
    "dies": _dies,
    "exits": _exits,
    "spawns": _spawns,
    "quits": lambda values: sys.exit("enough"),
}


def _folder():
    return Path(os.environ["TOY_FOLDER"])


def _log(what, values, pid=None):
    line = {"what": what, "pid": pid or os.getpid(), "values": values, "node": _node()}
    handle = os.open(_folder() / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (json.dumps(line) + "\n").encode())
    os.close(handle)


def _node():
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return ray.get_runtime_context().get_node_id()
