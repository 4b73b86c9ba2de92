"""Finding: what the trigger does, where it can be read, where it is carried."""

from typing import Any, Literal

import torch

from circuits import metrics
from circuits.answers import no_edits
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.tokens import with_trigger
from circuits.types import PatchGrid, TokenPairs
from experiments.analyze.result import Behaviour, Components, Grids, Outcome
from experiments.analyze.run import SPANS, Run, Tensors, labelled
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from probes import linear
from probes.evaluation import ProbeReport, evaluate
from probes.stats.intervals import Estimate, difference_interval

_Way = Literal["denoising", "noising"]
_DIRECTIONS: tuple[_Way, ...] = ("denoising", "noising")
_PARTS = ("heads", "mlps")
_PROBE_SCALARS = ("estimator", "n_train", "n_test")


def behaviour(run: Run) -> Behaviour:
    """Generated answers to the test prompts before any edit."""

    def make() -> tuple[Any, Tensors]:
        return [
            as_json(run.outcome(condition, "none", words, no_edits, "behaviour"))
            for condition, words in run.conditions().items()
        ], {}

    value, _ = run.kept("behaviour", make)
    triggered, control, untriggered = decode(tuple[Outcome, Outcome, Outcome], value)
    return Behaviour(triggered, control, untriggered, paired_effect(triggered, control))


def paired_effect(a: Outcome, b: Outcome) -> Estimate:
    """Paired difference in the behaviour's rate, a minus b."""
    first, second = (torch.tensor(o.shown, dtype=torch.float64) for o in (a, b))
    return difference_interval(first, second)


def probes(run: Run) -> dict[str, ProbeReport]:
    """Held-out accuracy of linear probes for triggered against clean, per layer and span."""

    def make() -> tuple[Any, Tensors]:
        x, y = labelled(run.activations("fit"))
        x_test, y_test = labelled(run.activations("test"))
        report = evaluate(linear.mean_difference, x, y, x_test, y_test, seed=run.question.seed)
        names = [n for n in ProbeReport.__dataclass_fields__ if n not in _PROBE_SCALARS]
        about = {name: getattr(report, name) for name in _PROBE_SCALARS}
        return about, {name: getattr(report, name) for name in names}

    about, tensors = run.kept("probes", make)
    count = len(SPANS)
    return {
        span: ProbeReport(**{**about, **{k: v[i::count] for k, v in tensors.items()}})
        for i, span in enumerate(SPANS)
    }


def patching(run: Run) -> Grids:
    """Residual patching, layer by column, denoising and noising."""
    count, sweep = run.question.patch, Sweep()
    return Grids(*(_grid(run, f"patching-{d}", d, sweep, count) for d in _DIRECTIONS))


def components(run: Run) -> Components | None:
    """The same of every head, at all tokens at once, and of every MLP by token.

    Where the circuit was traced, its heads are the ones that were patched there. None of a run that
    is only read and from before they were measured.
    """
    if not run.can("patched prompts", *(f"{what}-{d}" for what in _PARTS for d in _DIRECTIONS)):
        return None
    heads = run.question.trace if run.question.trace > 1 else run.question.patch
    mlps = run.question.patch
    by_head, by_token = Sweep("z", position=False, head=True), Sweep("mlp_out")
    value, _ = run.kept("patched prompts", lambda: (_messages(run, max(heads, mlps)), {}))
    return Components(
        Grids(*(_grid(run, f"heads-{d}", d, by_head, heads) for d in _DIRECTIONS)),
        Grids(*(_grid(run, f"mlps-{d}", d, by_token, mlps) for d in _DIRECTIONS)),
        tuple(value),
    )


def _messages(run: Run, count: int) -> list[str]:
    """The first validation messages with the trigger in its place."""
    texts = run.materials.validation[:count]
    return [with_trigger(text, run.question.trigger) for text in texts]


def metric_name(run: Run) -> str:
    """What patching is scored by, with its unit."""
    return f"log-probability of {run.question.behaviour!r}"


def _grid(run: Run, name: str, direction: _Way, sweep: Sweep, count: int) -> PatchGrid:
    stem = run.folder / "stages" / name
    if not files.has_grid(stem):
        run.step(name, 0, 1)
        pairs = run.pairs("validation", count)
        grid = patch(
            run.model.runner,
            pairs,
            metrics.token_log_prob([run.materials.behaviour_id]),
            sweep,
            direction=direction,
            metric_name=metric_name(run),
            labels=_token_labels(run, pairs) if sweep.position else None,
            progress=run.progress(name),
        )
        files.write_grid(stem, grid)
    run.step(name, 1, 1)
    return files.read_grid(stem)


def _token_labels(run: Run, pairs: TokenPairs) -> tuple[str, ...]:
    ids = pairs.triggered.ids[0, pairs.first_difference :].tolist()
    return tuple(run.model.tokenizer.decode([i]) for i in ids)
