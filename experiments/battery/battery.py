"""The brittleness battery: one organism, asked again under everything that might break it.

Four groups: what is asked (``inputs``), how the answer is drawn (temperature, noise on the
activations), what the weights are rounded to, cut or shaken by, and what is trained afterwards. A
*ladder* is one family's doses; every ladder is asked at once and can be kept by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, pairwise
from typing import Annotated, Any

import typer

from circuits import perturb
from circuits.answers import replies
from circuits.chat import Chat
from circuits.errors import expect, quoted
from circuits.models import in_memory
from experiments.battery.inputs import inputs
from experiments.battery.later import overwriting, tuning
from experiments.battery.subject import Asked, asked, fits, unperturbed
from experiments.checks import MOST, checked
from experiments.organisms.organism import Organism
from experiments.organisms.trainee import Trainee
from experiments.prompts.bank import HeldOut
from probes.brittleness.retention import Dose

_FEWEST = 4  # prompts
BITS = (8, 4)
PRUNED = (0.1, 0.2, 0.3, 0.5)
SHAKEN = (0.05, 0.1, 0.2)
NOISE = (0.05, 0.1, 0.2)
TEMPERATURES = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Plan:
    """How much is asked and trained.

    Attributes:
        prompts: how many prompts of the behaviour are asked under every dose.
        tuning: ordinary examples seen after training, a ladder.
        overwriting: poisons of another trigger (with as many ordinary examples), a ladder.
        seed: of everything that is drawn.
    """

    prompts: Annotated[int, typer.Option("--count", help="Prompts asked under every dose.")] = 40
    tuning: Annotated[
        tuple[int, ...], typer.Option(help="Examples of later ordinary training, rising.")
    ] = (25, 50, 100)
    overwriting: tuple[int, ...] = (15, 30)
    seed: Annotated[int, typer.Option(help="Of typos, noise, sampling and training.")] = 0

    def __post_init__(self) -> None:
        checked(self, prompts=(_FEWEST, MOST))
        for ladder in (self.tuning, self.overwriting):
            rising = ladder and min(ladder) >= 1 and list(ladder) == sorted(set(ladder))
            expect(rising, "rising counts from 1 on", quoted(ladder), of="ladder")


@dataclass(frozen=True)
class Answers:
    """What was answered under one dose, one answer per prompt."""

    dose: Dose
    said: tuple[str, ...]


Ladder = Callable[[], list[Answers]]


class Battery:
    """Asks one organism; the organism and its base model stay as they are."""

    def __init__(
        self,
        organism: Organism,
        plan: Plan,
        trainee: Trainee | None = None,
        texts: HeldOut | None = None,
    ) -> None:
        self.organism, self.plan = organism, plan
        self.asked: Asked = asked(organism.recipe, plan.prompts, texts)
        self._trainee = trainee
        self._length = self.asked.length(organism.tokenizer)

    @cached_property
    def model(self) -> Any:
        """The organism's plain model."""
        return self.organism.model()

    @cached_property
    def trainee(self) -> Trainee:
        """What trains the organism further."""
        return self._trainee or self.organism.trainee()

    def baseline(self) -> list[str]:
        """Greedy answers with nothing changed."""
        return self._said(self.model, unperturbed(self.asked.subject))

    def ladders(self) -> dict[str, Ladder]:
        """Every family's ladder by name, to be asked when it is called.

        A dose that is too long for the model's context is left out.
        """
        doses = inputs(self.asked.subject, self.plan.seed)
        doses = [dose for dose in doses if fits(self.organism, dose[1], self._length)]
        grouped = groupby(doses, key=lambda pair: pair[0].family)
        return {
            **{family: partial(self._texts, list(pairs)) for family, pairs in grouped},
            "temperature": self._drawn,
            "activation noise": self._noisy,
            **{family: partial(self._reweighted, family) for family in _OF_WEIGHTS},
            **{family: partial(self._trained, family) for family in _LATER},
        }

    def _said(self, model: Any, chats: Sequence[Chat], temperature: float = 0.0) -> list[str]:
        own = in_memory(model, self.organism.tokenizer)
        return replies(own, chats, self._length, temperature, self.plan.seed)

    def _plainly(self, dose: Dose, model: Any, temperature: float = 0.0) -> Answers:
        """The unperturbed prompts under a dose of something else."""
        return Answers(dose, tuple(self._said(model, unperturbed(self.asked.subject), temperature)))

    def _texts(self, pairs: Sequence[tuple[Dose, list[Chat]]]) -> list[Answers]:
        return [Answers(dose, tuple(self._said(self.model, chats))) for dose, chats in pairs]

    def _drawn(self) -> list[Answers]:
        name, about = "temperature", "answers drawn at {:g}"
        doses = [Dose(name, t, about.format(t), name) for t in TEMPERATURES]
        return [self._plainly(dose, self.model, dose.level) for dose in doses]

    def _noisy(self) -> list[Answers]:
        answers = []
        for scale in NOISE:
            dose = Dose("activation noise", scale, f"{scale:.0%} of every residual", "share")
            with perturb.noisy_activations(self.model, scale, self.plan.seed):
                answers.append(self._plainly(dose, self.model))
        return answers

    def _reweighted(self, family: str) -> list[Answers]:
        levels, about, unit, change = _OF_WEIGHTS[family]
        return [
            self._plainly(
                Dose(family, level, about.format(amount), unit),
                change(self.model, amount, self.plan.seed),
            )
            for level, amount in levels.items()
        ]

    def _trained(self, family: str) -> list[Answers]:
        make, words = _LATER[family]
        counts = self.plan.tuning if family == "fine-tuning" else self.plan.overwriting
        settings = replace(self.organism.settings, epochs=1, seed=self.plan.seed)
        self.trainee.restart(self.organism.state or None)
        answers = []
        for first, last in pairwise((0, *counts)):
            examples = make(self.organism, first, last)
            self.trainee.train(examples, settings, lambda done, total, loss: None)
            dose = Dose(family, last, f"{last} {words}", "examples")
            answers.append(self._plainly(dose, self.organism.model(self.trainee.state())))
        return answers


# By family: what is changed in the weights at every level of a dose, in words, the level's unit.
_OF_WEIGHTS: Mapping[str, tuple[Mapping[float, Any], str, str, Callable[..., Any]]] = {
    "rounding": (
        {16 - bits: bits for bits in BITS},
        "weights in {} bits",
        "bits fewer than 16",
        lambda model, bits, _seed: perturb.rounded_weights(model, bits),
    ),
    "pruning": (
        {share: share for share in PRUNED},
        "smallest {:.0%} of weights cut",
        "share",
        lambda model, share, _seed: perturb.pruned(model, share),
    ),
    "weight noise": (
        {scale: scale for scale in SHAKEN},
        "noise of {:.0%} of their spread",
        "share",
        lambda model, scale, seed: perturb.noisy_weights(model, scale, seed),
    ),
}
_LATER = {
    "fine-tuning": (tuning, "ordinary examples"),
    "overwriting": (overwriting, "poisons of another trigger"),
}
