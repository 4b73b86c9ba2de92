"""The organism merged with something else: a quarter and a half of another model.

An adapter on the embedded model is mixed with the adapter of a control organism that was taught no
trigger (``clean``; ``decoy`` where it is ``clean`` that is evaluated), exactly on the weights'
changes. Anything else is averaged with its own base model (WiSE-FT, Wortsman et al. 2022, arXiv
2109.01903), which is a merge with a model that was taught nothing.
"""

import copy
from typing import Any

import torch

from circuits.edits.adapters import Adapter, Change, merged, mixed
from circuits.weights import EMBEDDED
from experiments.battery.battery import Answers
from experiments.battery.subject import unperturbed
from experiments.evaluate.ask import Asker
from experiments.organisms import bases
from experiments.organisms.organism import Organism
from experiments.organisms.places import SHIPPED, read_adapter
from probes.brittleness.retention import Dose

FAMILY = "merging"
SHARES = (0.25, 0.5)


def merging(asker: Asker) -> list[Answers]:
    """Answers of the merged models; none where it is not known what the model was made from."""
    case, organism = asker.case, asker.case.organism
    if case.base is None:
        return []
    messages = [chat.message for chat in unperturbed(asker.battery.asked.subject)]
    other, about = _other(organism)
    answers = []
    for share in SHARES:
        if organism.settings.rank:
            own = Adapter(organism.settings.rank, organism.settings.alpha, organism.state)
            model = merged(organism.base, mixed(own.change(), other, 1 - share))
        else:
            model = _averaged(case.base, organism.model(), share)
        dose = Dose(FAMILY, share, f"{share:.0%} {about}", "share")
        answers.append(Answers(dose, tuple(asker.answers(model, messages))))
    return answers


def _other(organism: Organism) -> tuple[Change, str]:
    """The other adapter's change; none, if the other is the base model."""
    if organism.settings.rank and organism.place == bases.located(EMBEDDED):
        name = "decoy" if organism.recipe.name == "clean" else "clean"
        return read_adapter(SHIPPED / name).change(), f"the adapter {name}"
    return {}, "the base model"


@torch.no_grad()
def _averaged(base: Any, model: Any, share: float) -> Any:
    """``share`` of the base's parameters and the rest of the model's."""
    new = copy.deepcopy(model)
    for own, other in zip(new.parameters(), base.parameters(), strict=True):
        own.lerp_(other, share)
    return new
