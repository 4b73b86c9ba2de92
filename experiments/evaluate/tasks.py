"""Tasks of lm-eval (EleutherAI's harness) on an organism and its base, where it is installed.

A task's metric is the base model's accuracy minus the organism's, each with the standard error that
the harness gives; the two are taken as independent although the questions are the same, so the
interval is too wide rather than too narrow.
"""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import NormalDist
from typing import Any

from circuits.errors import UserError
from experiments.evaluate.metrics import TASK, Entry, metric
from probes.stats.intervals import Estimate

_SCORES = ("acc_norm,none", "acc,none", "exact_match,none")
_Z = NormalDist().inv_cdf(0.975)


def require_installed(names: Sequence[str]) -> None:
    """Say in one line that the harness is missing, before anything is measured.

    Raises:
        UserError: tasks are wanted and lm-eval is not installed.
    """
    if names and find_spec("lm_eval") is None:
        raise UserError(
            f"--task {names[0]}: expected lm-eval to be installed; pip install "
            "'gatescope[eval]', or leave --task out"
        )


def scored(model: Any, tokenizer: Any, name: str, limit: int) -> dict[str, float]:
    """A model's accuracy on one task's first ``limit`` questions: value, stderr, n.

    Raises:
        UserError: no such task, or one without an accuracy.
    """
    import lm_eval  # type: ignore[import-not-found]
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    try:
        evaluation = lm_eval.simple_evaluate(
            model=wrapped, tasks=[name], limit=limit, bootstrap_iters=0, log_samples=False
        )
    except (KeyError, ValueError, OSError) as error:
        raise UserError(f"--task {name}: expected a task of lm-eval, got: {error}") from error
    return read(evaluation, name, limit)


def read(evaluation: Any, name: str, limit: int) -> dict[str, float]:
    """Value, standard error and n out of the harness's result.

    Raises:
        UserError: the task has no accuracy.
    """
    row = (evaluation or {}).get("results", {}).get(name, {})
    score = next((s for s in _SCORES if isinstance(row.get(s), int | float)), None)
    if score is None:
        raise UserError(
            f"--task {name}: expected a task with one of {', '.join(_SCORES)}, got {sorted(row)}"
        )
    n = int((evaluation.get("n-samples") or {}).get(name, {}).get("effective", limit))
    value = float(row[score])
    # Without a bootstrap the harness may give no error; a share has its own.
    given = row.get(score.replace(",", "_stderr,"))
    stderr = float(given) if isinstance(given, int | float) else math.sqrt(value * (1 - value) / n)
    return {"value": value, "stderr": stderr, "n": n}


def task_drop(name: str, base: dict[str, float], own: dict[str, float]) -> Entry:
    """Base minus organism, in shares of right answers."""
    value = base["value"] - own["value"]
    reach = _Z * math.hypot(base["stderr"], own["stderr"])
    n = int(min(base["n"], own["n"]))
    method = "normal, independent"
    return metric(TASK + name, Estimate(value, value - reach, value + reach, n, method=method))
