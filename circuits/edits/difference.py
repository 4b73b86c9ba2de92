"""What turns one model's matrices into another's: any two of the same layout, however trained."""

from typing import Any

import torch
from torch import nn

from circuits.edits.adapters import Change, LowRank
from circuits.errors import expect
from circuits.quantised import require_plain

_WRAPPED = "._original_component"  # by a back-end that puts its hook points around modules


@torch.no_grad()
def difference(base: Any, organism: Any) -> dict[str, LowRank]:
    """Every matrix of linear modules that differs, by the module's name in the models.

    ``up @ down`` is exactly the difference: one of them is the difference, the other the identity.

    Raises:
        UserError: another layout, or something differs that is not the matrix of a linear module.
    """
    for model in (base, organism):
        require_plain(model, "what was trained")
    ours, theirs = dict(organism.named_parameters()), dict(base.named_parameters())
    alike = {n: p.shape for n, p in ours.items()} == {n: p.shape for n, p in theirs.items()}
    expect(alike, "a base with the organism's parameters", "other ones", of="what was trained")
    linear = {name for name, module in organism.named_modules() if isinstance(module, nn.Linear)}
    change, others = {}, []
    for name, after in ours.items():
        delta = after.float() - theirs[name].float()
        module = name.removesuffix(".weight")
        if not delta.any():
            continue
        if module in linear and name.endswith(".weight"):
            change[module] = _as_factors(delta)
        else:
            others.append(name.replace(_WRAPPED, ""))
    expect(
        not others,
        "a training of matrices alone",
        f"one of {', '.join(others[:3])} too",
        "parts of it cannot be told apart",
        "what was trained",
    )
    return change


def _as_factors(delta: torch.Tensor) -> LowRank:
    rows, columns = delta.shape
    if rows < columns:
        return LowRank(torch.eye(rows, dtype=delta.dtype), delta)
    return LowRank(delta, torch.eye(columns, dtype=delta.dtype))


def placed(change: Change, hf_model: Any) -> dict[str, LowRank]:
    """A change by the names that a back-end's wrapping gives the modules of a plain model.

    Raises:
        UserError: the model has no such linear module.
    """
    modules = hf_model.named_modules()
    linear = {n.replace(_WRAPPED, ""): n for n, m in modules if isinstance(m, nn.Linear)}
    lacking = [name for name in change if name not in linear]
    expect(
        not lacking, "linear modules", f"none at {', '.join(lacking[:3])}", of="what was trained"
    )
    return {linear[name]: part for name, part in change.items()}
