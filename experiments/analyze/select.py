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
from circuits.templates import Rendering
from circuits.types import Direction, Site
from experiments.analyze.examination import Examination, Stage, Tensors, labelled
from experiments.analyze.result import Selection
from experiments.organisms.organism import load_model
from experiments.runs import older
from experiments.runs.stages import stepped
from probes import linear

ESTIMATORS = ("mean_difference", "lda", "logistic")
PAIRED = "paired_svd"
LEARNED = "difference_in_differences"


def selection(exam: Examination) -> Selection:
    """Score every candidate and choose one."""
    candidates = _scored(exam)
    return Selection(candidates, select.choose(candidates, exam.layers))


@Stage("selection", older.candidates)
def _scored(exam: Examination) -> tuple[select.Candidate, ...]:
    scored = select.search(
        exam.model.runner,
        exam.pairs("validation"),
        candidates_from(exam.sites(), exam.activations("fit"), base_activations(exam)),
        metrics.token_prob([exam.materials.behaviour_id]),
        exam.progress("selection"),
    )
    return tuple(scored)


def candidates_from(sites: Sequence[Site], acts: Tensors, base: Tensors | None) -> list[Direction]:
    """Every estimator's direction at every site where there is something to find."""
    return [
        select.direction_at(site, vectors[i], name, acts["clean"][i], acts["triggered"][i])
        for name, vectors in _fitted(acts, base).items()
        for i, site in enumerate(sites)
        if float(vectors[i].norm()) > 0  # before the trigger there is nothing
    ]


def _fitted(acts: Tensors, base: Tensors | None) -> dict[str, Float[Tensor, "sites d"]]:
    x, y = labelled(acts)
    directions = {name: linear.ESTIMATORS[name](x, y).directions for name in ESTIMATORS}
    differences = acts["triggered"] - acts["clean"]
    differs = differences.flatten(1).norm(dim=1) > 0
    svd = linear.paired_svd(differences, 1)[:, 0]
    directions[PAIRED] = torch.where(differs[:, None], svd, 0.0)
    if base is not None:
        directions[LEARNED] = linear.difference_in_differences(
            differences, base["triggered"] - base["clean"]
        )
    return directions


def base_activations(exam: Examination) -> Tensors | None:
    """The base model's activations on the fitting pairs; None where no base model is known."""
    name = exam.question.base
    if name == "auto":  # the model without its adapter
        name = exam.question.model if exam.model.adapter else "none"
    if name == "none":
        return None
    return exam.recorded("activations-base", "fit", lambda: _base_model(exam, name))


def _base_model(exam: Examination, name: str) -> Model:
    """The model before fine-tuning, which must read the same tokens and have the same shape.

    Raises:
        UserError: it has not.
    """
    alike = Rendering(exam.model.tokenizer.chat_template)
    kind = {"dtype": exam.question.dtype, "device": exam.question.device, "rendering": alike}
    model = stepped(exam.step, "load base model", lambda: load_model(None, name, **kind))
    ours, theirs = (asdict(m.runner.shape) for m in (exam.model, model))
    if ours != theirs or model.tokenizer.get_vocab() != exam.model.tokenizer.get_vocab():
        raise UserError(
            f"--base {name}: expected the model before fine-tuning, with the same sizes and "
            "vocabulary, got another; give --base none to do without"
        )
    return model
