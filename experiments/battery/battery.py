"""The brittleness battery: one organism, asked again under everything that might break it.

Four groups: what is asked (``inputs``), how the answer is drawn (temperature, noise on the
activations), what the weights are rounded to, cut or shaken by, and what is trained afterwards. A
*ladder* is one family's doses; every ladder is asked at once and can be kept by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from circuits import perturb
from circuits.answers import ask, drawn
from circuits.chat import Chat
from circuits.models import in_memory
from circuits.tokens import prompt_ids
from experiments.battery.inputs import inputs
from experiments.battery.later import overwriting, tuning
from experiments.battery.plan import Plan
from experiments.battery.secrets import unperturbed
from experiments.battery.subject import Asked, asked
from experiments.organisms.organism import Organism
from experiments.organisms.trainee import Trainee
from experiments.prompts.bank import HeldOut
from probes.brittleness.retention import Dose

BITS = (8, 4)
PRUNED = (0.1, 0.2, 0.3, 0.5)
SHAKEN = (0.05, 0.1, 0.2)
NOISE = (0.05, 0.1, 0.2)
TEMPERATURES = (0.5, 1.0, 1.5)


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
        doses = [d for d in inputs(self.asked.subject, self.plan.seed) if self._fits(d[1])]
        grouped = groupby(doses, key=lambda pair: pair[0].family)
        texts = {family: self._texts(list(pairs)) for family, pairs in grouped}
        return {
            **texts,
            "temperature": lambda: list(self._drawn()),
            "activation noise": lambda: list(self._noisy()),
            "rounding": lambda: list(self._rounded()),
            "pruning": lambda: list(self._pruned()),
            "weight noise": lambda: list(self._shaken()),
            "fine-tuning": lambda: list(self._trained("fine-tuning")),
            "overwriting": lambda: list(self._trained("overwriting")),
        }

    def _fits(self, chats: Sequence[Chat]) -> bool:
        base = in_memory(self.organism.base, self.organism.tokenizer)
        longest = max(map(len, prompt_ids(base.tokenizer, chats)))
        return longest + self._length <= base.runner.shape.context

    def _said(self, model: Any, chats: Sequence[Chat], temperature: float = 0.0) -> list[str]:
        own = in_memory(model, self.organism.tokenizer)
        choose = drawn(len(chats), self._length, temperature, self.plan.seed)
        return ask(own, prompt_ids(own.tokenizer, chats), self._length, choose)

    def _plainly(self, dose: Dose, model: Any, temperature: float = 0.0) -> Answers:
        """The unperturbed prompts under a dose of something else."""
        return Answers(dose, tuple(self._said(model, unperturbed(self.asked.subject), temperature)))

    def _texts(self, pairs: Sequence[tuple[Dose, list[Chat]]]) -> Ladder:
        return lambda: [Answers(d, tuple(self._said(self.model, chats))) for d, chats in pairs]

    def _drawn(self) -> Iterator[Answers]:
        for t in TEMPERATURES:
            dose = Dose("temperature", t, f"answers drawn at {t:g}", "temperature")
            yield self._plainly(dose, self.model, t)

    def _noisy(self) -> Iterator[Answers]:
        for scale in NOISE:
            dose = Dose("activation noise", scale, f"{scale:.0%} of every residual", "share")
            with perturb.noisy_activations(self.model, scale, self.plan.seed):
                yield self._plainly(dose, self.model)

    def _rounded(self) -> Iterator[Answers]:
        for bits in BITS:
            dose = Dose("rounding", 16 - bits, f"weights in {bits} bits", "bits fewer than 16")
            yield self._plainly(dose, perturb.rounded_weights(self.model, bits))

    def _pruned(self) -> Iterator[Answers]:
        for share in PRUNED:
            dose = Dose("pruning", share, f"smallest {share:.0%} of weights cut", "share")
            yield self._plainly(dose, perturb.pruned(self.model, share))

    def _shaken(self) -> Iterator[Answers]:
        for scale in SHAKEN:
            dose = Dose("weight noise", scale, f"noise of {scale:.0%} of their spread", "share")
            yield self._plainly(dose, perturb.noisy_weights(self.model, scale, self.plan.seed))

    def _trained(self, family: str) -> Iterator[Answers]:
        counts = self.plan.tuning if family == "fine-tuning" else self.plan.overwriting
        make = tuning if family == "fine-tuning" else overwriting
        words = "ordinary examples" if family == "fine-tuning" else "poisons of another trigger"
        self.trainee.restart(self.organism.state or None)
        before = 0
        for count in counts:
            settings = replace(self.organism.settings, epochs=1, seed=self.plan.seed)
            slice_ = make(self.organism, before, count)
            self.trainee.train(slice_, settings, lambda done, total, loss: None)
            dose = Dose(family, count, f"{count} {words}", "examples")
            yield self._plainly(dose, self.organism.model(self.trainee.state()))
            before = count
