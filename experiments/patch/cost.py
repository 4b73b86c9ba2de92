"""What a patching experiment will cost, estimated from its plan and one timed pass."""

import time
from dataclasses import dataclass

import torch

from circuits.metrics import Generated, Measure
from circuits.patching.engine import Experiment
from circuits.patching.schedule import token_layers


@dataclass(frozen=True)
class Forecast:
    """Costs of one direction.

    Attributes:
        cells: in the grid; ``live`` of them can have an effect (the others cost nothing).
        passes: forward passes to run; a plain loop would run ``loop_passes``.
        seconds: estimated from one timed pass, by tokens times layers.
        memory_bytes: estimated peak beyond the model: kept activations and the largest pass.
        path: ``shared`` if work is shared between cells, ``plain`` if every cell is a full pass.
    """

    direction: str
    cells: int
    live: int
    passes: int
    loop_passes: int
    seconds: float
    memory_bytes: int
    path: str

    def __str__(self) -> str:
        return (
            f"{self.direction}: {self.cells} cells, {self.live} that can have an effect; "
            f"{self.passes} passes ({self.path} path; a loop would run {self.loop_passes} full "
            f"passes); about {self.seconds:.0f} s and {self.memory_bytes / 2**20:.0f} MiB"
        )


@torch.no_grad()
def forecast_of(experiment: Experiment, metric: Measure) -> Forecast:
    """The cost of a prepared experiment; times its median pass twice and keeps the second."""
    generated = isinstance(metric, Generated)
    jobs = experiment.jobs(generated)
    base, shape = experiment.sides.base, experiment.runner.shape
    width = base.width if experiment.shared else base.tokens.width
    n = len(base.tokens)
    seconds = 0.0
    if jobs:
        works = {job: token_layers([job], n, width, shape.n_layers) for job in jobs}
        median = sorted(jobs, key=lambda job: works[job])[len(jobs) // 2]
        for _ in range(2):
            started = time.perf_counter()
            experiment.scored(metric, median)
            spent = time.perf_counter() - started
        seconds = spent * sum(works.values()) / works[median]
    return Forecast(
        direction=experiment.direction,
        cells=len(experiment.grid.cells),
        live=len(experiment.variants),
        passes=len(jobs),
        loop_passes=len(experiment.grid.cells),
        seconds=seconds,
        memory_bytes=_memory(experiment, jobs, width),
        path="shared" if experiment.shared else "plain",
    )


def _memory(experiment: Experiment, jobs: list, width: int) -> int:
    """Kept activations and keys and values, plus the largest pass's tokens and logits.

    A token in flight takes about a dozen residuals' worth of tensors, twice for a wide MLP.
    """
    base, shape = experiment.sides.base, experiment.runner.shape
    n = len(base.tokens)
    size = shape.dtype.itemsize
    acts = {id(t): t.numel() for side in (base.acts, experiment.sides.acts) for t in side.values()}
    kept = sum(acts.values()) + base.resid.numel()
    kept += 4 * shape.n_layers * n * base.tokens.width * shape.n_heads * shape.d_head
    rows = max((len(job.variants) + 1) * n for job in jobs) if jobs else 0
    tokens = max((len(job.variants) + 1) * n * (width - job.start) for job in jobs) if jobs else 0
    return size * (kept + 24 * shape.d_model * tokens + 3 * rows * experiment.keep * shape.d_vocab)
