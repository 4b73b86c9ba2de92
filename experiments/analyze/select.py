"""Choosing: candidate directions from the fitting prompts, scored causally on validation pairs."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import metrics
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.types import Direction, Site
from experiments.analyze.examination import Examination, Tensors, labelled
from experiments.analyze.result import Selection
from experiments.analyze.written import candidate_json
from experiments.organisms.organism import load_model
from experiments.runs import files, older
from probes import linear

ESTIMATORS = ("mean_difference", "lda", "logistic")
PAIRED = "paired_svd"
LEARNED = "difference_in_differences"


def selection(exam: Examination) -> Selection:
    """Score every candidate and choose one."""

    def make() -> tuple[select.Candidate, ...]:
        scored = select.search(
            exam.model.runner,
            exam.pairs("validation"),
            candidates(exam),
            metrics.token_prob([exam.materials.behaviour_id]),
            exam.progress("selection"),
        )
        files.write_rows(exam.folder / "selection.parquet", [candidate_json(c) for c in scored])
        return tuple(scored)

    scored = exam.keep("selection", tuple[select.Candidate, ...], make, older.candidates)
    return Selection(scored, select.choose(scored, exam.layers))


def candidates(exam: Examination) -> list[Direction]:
    """Directions by several estimators at every layer and span, from the fitting prompts."""
    return candidates_from(exam.sites(), exam.activations("fit"), base_activations(exam))


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


def base_activations(exam: Examination) -> Tensors | None:
    """The base model's activations on the fitting pairs; None where no base model is known."""
    if base_name(exam) is None:
        return None
    return exam.recorded("activations-base", lambda: load_base(exam), lambda: exam.pairs("fit"))


def base_name(exam: Examination) -> str | None:
    """The model before fine-tuning: named, or the model without its adapter."""
    named = exam.question.base
    if named != "auto":
        return None if named == "none" else named
    return exam.question.model if exam.model.adapter else None


def load_base(exam: Examination) -> Model:
    """The base model, which must read the same tokens and have the same shape.

    Raises:
        UserError: it has not.
    """
    name = base_name(exam)
    assert name is not None
    exam.step("load base model", 0, 1)
    model = load_model(None, name, dtype=exam.question.dtype, device=exam.question.device)
    exam.step("load base model", 1, 1)
    ours, theirs = (asdict(m.runner.shape) for m in (exam.model, model))
    if ours != theirs or model.tokenizer.get_vocab() != exam.model.tokenizer.get_vocab():
        raise UserError(
            f"--base {name}: expected the model before fine-tuning, with the same sizes and "
            "vocabulary, got another; give --base none to do without"
        )
    return model
