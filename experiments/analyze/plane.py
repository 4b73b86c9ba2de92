"""Test prompts in the plane of the gate and what varies most beside it, in every arm.

The first axis is the gate. The others are the first principal components of what is left of the
*fitting* prompts' activations at the gate's site once the gate is projected out; *test* prompts are
shown. Arms have no gate of their own where the trigger does nothing: their prompts, recorded from
the arm's own model at the same site, stand on this model's axes. Everything comes from activations
that the analysis keeps, so no model is needed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import Direction
from experiments.analyze.arms import OWN, arm_folders
from experiments.analyze.examination import Examination
from experiments.runs.ledger import Ledger
from probes.stats.intervals import Estimate
from probes.stats.roc import auroc

SIDES = {"triggered": "triggered", "clean": "control word"}
_BESIDE = 2  # components beside the gate
_KEPT = "stages/activations-test.safetensors"


@dataclass(frozen=True, eq=False)
class Plane:
    """Coordinates in units of the gate's gap between the fitting prompts' means.

    Attributes:
        points: arm -> condition -> ``[n, 3]``: along the gate (0: control words' mean, 1: the
            trigger's), along the first and the second component beside it (0: the fitting mean).
        shares: of the variance beside the gate that each component holds, in fitting prompts.
        apart: AUROC of triggered against control words in this model's test prompts, by axis.
    """

    points: dict[str, dict[str, Float[Tensor, "n 3"]]]
    shares: tuple[float, ...]
    apart: tuple[Estimate, ...]


def plane(exam: Examination, direction: Direction) -> Plane:
    """The axes from fitting prompts, the test prompts of this model and of its arms on them."""
    index, fit = exam.sites().index(direction.site), exam.activations_at(direction.site)
    x, unit = torch.cat([fit["clean"], fit["triggered"]]).double(), direction.vector.double()
    mean = x.mean(dim=0)
    beside = (x - mean) - torch.outer((x - mean) @ unit, unit)
    _, sizes, rows = torch.linalg.svd(beside, full_matrices=False)
    axes = torch.stack([unit, *rows[:_BESIDE]])
    offsets = torch.cat([torch.tensor([direction.clean_mean]).double(), rows[:_BESIDE] @ mean])

    def placed(acts: Float[Tensor, "n d"]) -> Float[Tensor, "n 3"]:
        return ((acts.double() @ axes.T - offsets) / direction.gap).float()

    points = {
        name: {label: placed(acts[side][index]) for side, label in SIDES.items()}
        for name, acts in {OWN: exam.activations("test"), **arms_kept(exam)}.items()
    }
    own, power = points[OWN], sizes**2 / (sizes**2).sum()
    positive = torch.arange(sum(map(len, own.values()))) >= len(own["control word"])
    both = torch.cat([own["control word"], own["triggered"]])
    return Plane(
        points,
        tuple(power[:_BESIDE].tolist()),
        tuple(auroc(both[:, axis], positive) for axis in range(1 + _BESIDE)),
    )


def arms_kept(exam: Examination) -> dict[str, dict[str, Tensor]]:
    """Every arm's kept activations of the same test prompts; an arm without them is left out."""
    return {
        name: {side: x.float() for side, x in Ledger(place).tensors(_KEPT).items()}
        for name, place in arm_folders(exam.question, exam.folder)
        if Ledger(place).lists(_KEPT)
    }
