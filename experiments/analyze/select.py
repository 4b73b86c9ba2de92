"""Choosing: candidate directions from the fitting prompts, scored causally on validation pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import metrics, models
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.types import Direction, Site
from experiments.analyze.result import Selection, candidate_json
from experiments.analyze.run import Run, Tensors, labelled
from experiments.runs import files
from probes import linear

ESTIMATORS = ("mean_difference", "lda", "logistic")
PAIRED = "paired_svd"
LEARNED = "difference_in_differences"


def selection(run: Run) -> Selection:
    """Score every candidate and choose one."""

    def make() -> tuple[Any, Tensors]:
        found = select.search(
            run.model.runner,
            run.pairs("validation"),
            candidates(run),
            metrics.token_prob([run.materials.behaviour_id]),
            run.progress("selection"),
        )
        rows = [candidate_json(c) for c in found]
        files.write_rows(run.folder / "selection.parquet", rows)
        return rows, {"vectors": torch.stack([c.direction.vector for c in found])}

    rows, tensors = run.kept("selection", make)
    found = tuple(_candidate(row, v) for row, v in zip(rows, tensors["vectors"], strict=True))
    return Selection(found, select.choose(found, run.layers))


def _candidate(row: dict[str, Any], vector: Tensor) -> select.Candidate:
    site = Site(row["layer"], row["stream"], row["span"])
    direction = Direction(site, vector, row["estimator"], row["clean_mean"], row["triggered_mean"])
    return select.Candidate(direction, row["necessity"], row["sufficiency"], row["harm"], row["n"])


def candidates(run: Run) -> list[Direction]:
    """Directions by several estimators at every layer and span, from the fitting prompts."""
    return candidates_from(run.sites(), run.activations("fit"), base_activations(run))


def candidates_from(sites: Sequence[Site], acts: Tensors, base: Tensors | None) -> list[Direction]:
    """Every estimator's direction at every site where there is something to find."""
    found = []
    for name, vectors in _fitted(acts, base).items():
        for i, site in enumerate(sites):
            if float(vectors[i].norm()) > 0:  # before the trigger there is nothing
                clean, triggered = acts["clean"][i], acts["triggered"][i]
                found.append(select.direction_at(site, vectors[i], name, clean, triggered))
    return found


def _fitted(acts: Tensors, base: Tensors | None) -> dict[str, Float[Tensor, "sites d"]]:
    x, y = labelled(acts)
    found = {name: linear.ESTIMATORS[name](x, y).directions for name in ESTIMATORS}
    differences = acts["triggered"] - acts["clean"]
    differs = differences.flatten(1).norm(dim=1) > 0
    svd = linear.paired_svd(differences, 1)[:, 0]
    found[PAIRED] = torch.where(differs[:, None], svd, 0.0)
    if base is not None:
        found[LEARNED] = linear.difference_in_differences(
            differences, base["triggered"] - base["clean"]
        )
    return found


def base_activations(run: Run) -> Tensors | None:
    """The base model's activations on the fitting pairs; None where no base model is known."""
    if base_name(run) is None:
        return None
    return run.recorded("activations-base", lambda: load_base(run), lambda: run.pairs("fit"))


def base_name(run: Run) -> str | None:
    """The model before fine-tuning: named, or the model without its adapter."""
    named = run.question.base
    if named != "auto":
        return None if named == "none" else named
    return run.question.model if run.model.adapter else None


def load_base(run: Run) -> Model:
    """The base model, which must read the same tokens and have the same shape.

    Raises:
        UserError: it has not.
    """
    name = base_name(run)
    assert name is not None
    run.step("load base model", 0, 1)
    model = models.load(name, dtype=run.question.dtype, device=run.question.device)
    run.step("load base model", 1, 1)
    ours, theirs = (asdict(m.runner.shape) for m in (run.model, model))
    if ours != theirs or model.tokenizer.get_vocab() != run.model.tokenizer.get_vocab():
        raise UserError(
            f"--base {name}: expected the model before fine-tuning, with the same sizes and "
            "vocabulary, got another; give --base none to do without"
        )
    return model
