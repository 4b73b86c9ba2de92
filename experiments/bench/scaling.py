"""How patching scales: time and memory against layers, prompt length and number of prompts.

Random weights of the model's own sizes, and random tokens that differ in one column half-way: time
does not depend on what they say. The exponent that the method predicts is that of its work, counted
in tokens times layers over both unedited runs and all passes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import transformers

from circuits.backends.transformer_lens import TLRunner
from circuits.metrics import token_log_prob
from circuits.models import Model
from circuits.patching.cells import Sweep
from circuits.patching.engine import Experiment, prepare
from circuits.patching.patch import patch
from circuits.patching.schedule import token_layers
from circuits.runner import Runner, Window
from circuits.types import TokenBatch, TokenPairs
from experiments.bench.cost import measurable, peak_bytes, timed
from experiments.runs.stages import Step

_AXES: dict[str, tuple[int, ...]] = {
    "layers": (6, 12, 24),
    "tokens": (16, 32, 64),
    "prompts": (4, 8, 16),
}
_USUAL = {"layers": 12, "tokens": 32, "prompts": 8}
_METRIC = token_log_prob([0])


@dataclass(frozen=True)
class Scaling:
    """Seconds and work (tokens x layers) of a residual grid against one size, others fixed."""

    axis: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    work: tuple[int, ...]
    measured: float
    predicted: float

    def __str__(self) -> str:
        at = ", ".join(f"{x}: {s:.2f} s" for x, s in zip(self.sizes, self.seconds, strict=True))
        return (
            f"time against {self.axis}: {at}; exponent {self.measured:.2f}, the method predicts "
            f"{self.predicted:.2f}"
        )


@dataclass(frozen=True)
class Memory:
    """Peak memory beyond the model, in bytes.

    ``plain`` is one plain forward pass of the same batch: as many rows as the engine's largest
    pass, whole prompts, last logits. ``caches`` are the kept activations, keys and values of both
    runs. ``engine`` is the whole experiment; ``ratio`` is engine / (plain + caches).
    """

    rows: int
    plain: int
    caches: int
    engine: int
    ratio: float

    def __str__(self) -> str:
        return (
            f"peak memory {self.engine / 2**20:.0f} MiB, {self.ratio:.1f} times a plain pass of "
            f"the same {self.rows} rows ({self.plain / 2**20:.0f} MiB) plus the kept activations "
            f"({self.caches / 2**20:.0f} MiB)"
        )


def bench_scaling(model: Model, step: Step, repeats: int = 3) -> list[Scaling]:
    """Vary each size with the others at their usual values; the fastest of ``repeats`` counts."""
    scalings = []
    for axis, sizes in _AXES.items():
        seconds, work = [], []
        for done, size in enumerate(sizes):
            step(f"scaling with {axis}", done, len(sizes))
            at = {**_USUAL, axis: size}
            runner = random_model(model, at["layers"])
            pairs = random_pairs(runner.shape.d_vocab, at["prompts"], at["tokens"])
            patch(runner, pairs.rows([0, 1]), _METRIC)  # warm up
            call = partial(patch, runner, pairs, _METRIC)
            seconds.append(min(timed(call)[1] for _ in range(repeats)))
            work.append(_work(runner, pairs))
        step(f"scaling with {axis}", len(sizes), len(sizes))
        exponents = exponent(sizes, seconds), exponent(sizes, work)
        scalings.append(Scaling(axis, sizes, tuple(seconds), tuple(work), *exponents))
    return scalings


def random_model(model: Model, layers: int) -> Runner:
    """The model's architecture and sizes with random weights and so many layers."""
    config = copy.deepcopy(model.runner.hf_model.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    torch.manual_seed(0)
    hf_model = transformers.AutoModelForCausalLM.from_config(config, dtype=model.runner.shape.dtype)
    torch.nn.Module.to(hf_model, model.runner.shape.device)
    return TLRunner(hf_model.eval(), model.tokenizer, model.name)


def random_pairs(d_vocab: int, prompts: int, width: int) -> TokenPairs:
    """Random tokens; the sides differ in the column half-way."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, d_vocab, (prompts, width), generator=generator)
    other = ids.clone()
    other[:, width // 2] = (other[:, width // 2] + 1) % d_vocab
    mask = torch.ones_like(ids, dtype=torch.bool)
    return TokenPairs(TokenBatch(ids, mask), TokenBatch(other, mask))


def _work(runner: Runner, pairs: TokenPairs) -> int:
    """Tokens times layers: two unedited runs and the passes."""
    experiment = prepare(runner, pairs, Sweep())
    base = experiment.sides.base
    n, n_layers = len(pairs), runner.shape.n_layers
    unedited = 2 * n * pairs.clean.width * n_layers
    return unedited + token_layers(experiment.jobs(), n, base.width, n_layers)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log values against log sizes, by least squares."""
    x, y = (torch.tensor(v, dtype=torch.float64).log() for v in (sizes, values))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


def bench_memory(runner: Runner, pairs: TokenPairs, sweep: Sweep) -> Memory | None:
    """The experiment's peak beside a plain pass of the same batch; None where it is unknown."""
    if not measurable():
        return None
    tokens = pairs.clean
    experiment = prepare(runner, pairs, sweep)
    variants = max(len(job.variants) for job in experiment.jobs())
    rows = torch.arange(len(pairs)).repeat(1 + variants)
    window = Window(tokens.ids[rows], tokens.mask[rows])
    caches = _kept_bytes(experiment)
    del experiment

    @torch.no_grad()
    def plain() -> None:
        runner.forward(window, keep=1)

    patch(runner, pairs.rows([0, 1]), _METRIC, sweep)  # warm up
    alone = peak_bytes(plain)
    engine = peak_bytes(lambda: patch(runner, pairs, _METRIC, sweep))
    return Memory(len(rows), alone, caches, engine, engine / (alone + caches))


def _kept_bytes(experiment: Experiment) -> int:
    """Residuals, recorded activations, keys and values of both runs."""
    base = experiment.sides.base
    tensors = [base.resid, *base.acts.values(), *experiment.sides.acts.values()]
    kept = sum(t.numel() * t.element_size() for t in tensors)
    shape, cached = experiment.runner.shape, base.tokens.ids.numel() if base.past else 0
    # Both runs hold keys and values of every column and layer (fewer where queries are grouped).
    return kept + 2 * 2 * cached * shape.n_layers * shape.d_model * shape.dtype.itemsize
