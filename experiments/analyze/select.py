"""Choosing: candidate directions from the fitting prompts, scored causally on validation pairs."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.backends.transformer_lens import TLRunner
from circuits.gates import phrase, screen, select
from circuits.gates.nulls import unembedding_direction
from circuits.types import Direction, Site
from experiments.analyze.base import base_activations, base_model, base_name
from experiments.analyze.examination import Examination, Stage, Tensors
from experiments.analyze.result import Selection
from experiments.runs import older
from probes import linear

ESTIMATORS = ("mean_difference", "lda", "logistic")
PAIRED, TRIGGER = "paired_svd", "trigger"
LEARNED = "difference_in_differences"
_FEW = 8  # prompts on which the behaviour's unembedding is taken


def selection(exam: Examination) -> Selection:
    """Score every candidate and choose one."""
    candidates = _scored(exam)
    return Selection(candidates, select.choose(told_apart(candidates), exam.layers))


def told_apart(candidates: Sequence[select.Candidate]) -> Sequence[select.Candidate]:
    """Without a base, those behind the trigger, if one passes: nothing tells those at it from how
    every model spells the word. In runs of before no null was scored; they chose among all.
    """
    nulls = {c.direction.estimator for c in candidates} & set(select.NULLS)
    behind = [c for c in candidates if c.direction.site.span != "trigger"]
    most = max((c.n for c in candidates), default=0)
    passes = any(c.passes and c.n == most for c in behind)
    return behind if nulls == {select.UNEMBEDDING} and passes else candidates


@Stage("selection", older.candidates)
def _scored(exam: Examination) -> tuple[select.Candidate, ...]:
    acts, base = exam.activations("fit"), base_activations(exam)
    scored = screen.search(
        exam.model.runner,
        exam.pairs("validation"),
        by_token(
            exam, [*candidates_from(exam.sites(), acts, base), *null_candidates(exam, acts, base)]
        ),
        exam.log_odds,
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
    x, y = linear.labelled(**acts)
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


def null_candidates(exam: Examination, acts: Tensors, base: Tensors | None) -> list[Direction]:
    """What any model has: the base's own direction at every site, late the behaviour's unembedding.

    Each is scored as a candidate is, by the trigger's mean shift along it. Early at the last token,
    writing along the unembedding may be the very thing that was learned.
    """
    sites, nulls = exam.sites(), _of_base(base)
    unembedding = _unembedding(exam)
    if unembedding is not None:
        nulls += [
            (i, unembedding, select.UNEMBEDDING)
            for i, s in enumerate(sites)
            if s.span == "last" and s.layer >= select.LATEST * exam.layers
        ]
    return _placed(sites, acts, nulls)


_Null = tuple[int, Float[Tensor, " d"], str]  # a site's index, the vector, the estimator


def _of_base(base: Tensors | None) -> list[_Null]:
    if base is None:
        return []
    own = (base["triggered"] - base["clean"]).mean(dim=1)
    return [(i, own[i], select.BASE) for i in range(len(own)) if float(own[i].norm()) > 0]


def _placed(sites: Sequence[Site], acts: Tensors, nulls: Sequence[_Null]) -> list[Direction]:
    sides = acts["clean"], acts["triggered"]
    return [
        select.direction_at(sites[i], vector, name, *(side[i] for side in sides))
        for i, vector, name in nulls
    ]


def by_token(exam: Examination, directions: list[Direction]) -> list[Direction]:
    """Directions at the trigger, of a phrase with those of its earlier tokens, fitted alike.

    A token at which an estimator sees no difference has none added.
    """
    layers = sorted({d.site.layer for d in directions if d.site.span == TRIGGER})
    sites = [Site(layer, "resid_pre", TRIGGER) for layer in layers]
    acts = earlier_activations(exam, layers)
    known = base_name(exam) is not None
    base = earlier_activations(exam, layers, of_base=True) if known else [None] * len(acts)

    def fitted(here: Tensors, there: Tensors | None) -> dict[tuple[Site, str], Direction]:
        each = [*candidates_from(sites, here, there), *_placed(sites, here, _of_base(there))]
        return {(d.site, d.estimator): d for d in each}

    steps = [fitted(*both) for both in zip(acts, base, strict=True)]
    return [
        phrase.joined([*(step.get((d.site, d.estimator)) for step in steps), d])
        if d.site.span == TRIGGER
        else d
        for d in directions
    ]


def earlier_activations(
    exam: Examination, layers: Sequence[int], of_base: bool = False
) -> list[Tensors]:
    """Activations ``[layers, n, d_model]`` of every token of a phrase but its last; else none."""
    names = phrase.apart(exam.materials.pairs("fit", 1), count=exam.materials.steps)[1]
    if not names or not layers:
        return []
    every = range(exam.layers)
    sites = [Site(layer, "resid_pre", name) for name in names for layer in every]
    name, load = ("base", base_model) if of_base else ("fit", lambda exam: exam.model)
    kept = exam.recorded(f"activations-{name}-tokens", "fit", lambda: load(exam), sites)
    chosen = [[i * len(every) + layer for layer in layers] for i in range(len(names))]
    return [{side: acts[rows] for side, acts in kept.items()} for rows in chosen]


def _unembedding(exam: Examination) -> Tensor | None:
    """Of the base where it is known, else the model's own; None without gradients."""
    model = exam.model if base_name(exam) is None else base_model(exam)
    if not isinstance(model.runner, TLRunner):
        return None
    prompts = exam.pairs("fit", _FEW).clean
    return unembedding_direction(model.runner, prompts, exam.log_odds)
