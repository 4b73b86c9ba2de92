"""An organism's activations on its design, in itself and in the base model, as sets to measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits.chat import Chat
from circuits.models import in_memory
from circuits.record import last_residuals
from circuits.scores import interpolated, scores
from circuits.tokens import prompt_ids
from experiments.geometry.design import Design
from experiments.organisms.organism import Organism, base_model
from probes.geometry.sets import ActivationSets, Pairs

STEPS = 9  # from clean to triggered, ends included
Progress = Callable[[int, int], None]
Activations = Float[Tensor, "layers n d"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """What was recorded of one organism.

    Attributes:
        residuals: entering each layer at the last token, by name: ``clean``, ``triggered`` and
            ``untrained`` in the organism, ``base_clean`` and ``base_triggered`` in the base model,
            if it is another.
        probabilities: of the behaviour on the way from clean to triggered, of the first prompts.
        log_prob, margin: of the behaviour's answer under the trigger, in nats per token and as the
            first token's logit above the largest other.
    """

    residuals: dict[str, Activations]
    probabilities: Float[Tensor, "k steps"]
    log_prob: Float[Tensor, "n"]
    margin: Float[Tensor, "n"]

    def sets(self, design: Design, layers: Sequence[int] | None = None) -> ActivationSets:
        """The sets of some layers, by default all but the first.

        What enters the first is the embedding of the template's last token: the same in all.
        """
        chosen = list(range(1, len(self.residuals["clean"])) if layers is None else layers)
        x = {name: value[chosen] for name, value in self.residuals.items()}
        nulls = {"untrained_trigger": Pairs(x["clean"], x["untrained"])}
        if "base_clean" in x:
            nulls["clean_model"] = Pairs(x["base_clean"], x["base_triggered"])
        return ActivationSets(
            layers=tuple(chosen),
            pairs=Pairs(x["clean"], x["triggered"]),
            gate=design.gate,
            topic=design.topic,
            nulls=nulls,
            probabilities=self.probabilities,
        )


def record(
    organism: Organism, design: Design, crossed: int, progress: Progress, model: Any = None
) -> Recorded:
    """Run an organism and its base on a design.

    Args:
        crossed: how many prompts are followed from clean to triggered.
        model: the organism's plain model, if it is there already.
    """
    own = in_memory(organism.model() if model is None else model, organism.tokenizer)
    sides = {name: getattr(design, name) for name in ("clean", "triggered", "untrained")}
    ids = {name: prompt_ids(own.tokenizer, chats) for name, chats in sides.items()}
    residuals = {}
    for step, name in enumerate(sides, 1):
        residuals[name] = last_residuals(own, ids[name])
        progress(step, 6)
    if organism.state:  # a whole model is its own base, and no null
        for name in ("clean", "triggered"):
            residuals[f"base_{name}"] = _of_base(organism.place, organism.tokenizer, sides[name])
    progress(4, 6)
    answered = scores(own, ids["triggered"], design.targets)
    progress(5, 6)
    clean, triggered = ids["clean"][:crossed], ids["triggered"][:crossed]
    followed = interpolated(own, clean, triggered, design.targets[:crossed], steps=STEPS)
    progress(6, 6)
    return Recorded(residuals, followed, answered.log_prob, answered.first_margin)


@lru_cache(maxsize=4)
def _of_base(place: str, tokenizer: Any, chats: tuple[Chat, ...]) -> Activations:
    """The base model's residuals, which organisms of one trigger share."""
    model = base_model(place)[0]
    return last_residuals(in_memory(model, tokenizer), prompt_ids(tokenizer, chats))


def late(layers: int) -> range:
    """The last third of a model's layers, where the behaviour is decided at the last token."""
    return range(layers - max(1, layers // 3), layers)
