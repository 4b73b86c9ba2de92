"""A sweep of toys in a process of its own, to be killed: drive.py GRID STORE WORKERS."""

import sys
from pathlib import Path

from experiments.sweep.engine.grid import Axis, read_grid
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.run import Job, sweep
from experiments.sweep.engine.store import Store

HERE = Path(__file__).parent
SCHEMA = {
    "size": Axis(int),
    "seed": Axis(int, default=(0,)),
    "seconds": Axis(float, default=(0.2,)),
    "mode": Axis(str, default=("fine",)),
}
SALT = {"toys": 1}


def job(path, **options):
    return Job(read_grid(path, SCHEMA), SALT, "toy_cells:measure", **options)


def kind(event):
    """What an event is; of a cell's last one, how it ended."""
    return getattr(event, "status", type(event))


if __name__ == "__main__":
    try:
        sweep(job(Path(sys.argv[1])), Store(Path(sys.argv[2])), Local(int(sys.argv[3])))
    except KeyboardInterrupt:
        sys.exit(130)
