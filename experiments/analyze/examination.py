"""What every stage of an analysis works with: the question, the model, its prompts, kept stages.

A stage is a function of an ``Examination``. Its record lies in the run directory's ``stages``;
where it is found there, it is read instead of measured. An examination without a model reads a
finished directory through the same functions; what was never measured there is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.answers import EditsFor, Words, answers
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.record import record
from circuits.types import Site, TokenPairs
from experiments import judges
from experiments.analyze.materials import Materials
from experiments.analyze.question import Question
from experiments.analyze.result import Outcome
from experiments.runs import files
from experiments.runs.stages import Stages, Step
from probes.stats.intervals import wilson

SPANS = ("last_user", "trigger", "template", "last")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Recording:
    """Residuals of a split's pairs at all sites, in half precision."""

    sites: tuple[Site, ...]
    clean: Float[Tensor, "sites n d"]
    triggered: Float[Tensor, "sites n d"]


class Examination(Stages):
    """One question and run directory, with the model and prompts to measure what is not there."""

    def __init__(
        self,
        folder: Path,
        question: Question,
        model: Model | None = None,
        materials: Materials | None = None,
        step: Step = lambda name, done, total: None,
    ) -> None:
        super().__init__(folder, step)
        self.question = question
        self._model, self._materials = model, materials
        self._activations: dict[str, Tensors] = {}

    @property
    def model(self) -> Model:
        """The model; a directory that is only read has none.

        Raises:
            UserError: a stage has to be measured in a directory that is only read.
        """
        if self._model is None:
            raise self._unmeasured()
        return self._model

    @property
    def materials(self) -> Materials:
        """Prompts and words, with the model."""
        if self._materials is None:
            raise self._unmeasured()
        return self._materials

    def _unmeasured(self) -> UserError:
        return UserError(
            f"{self.folder}: expected a finished analysis, got one with stages missing; continue "
            "it: gatescope analyze with the same options and --resume"
        )

    def can(self, *names: str) -> bool:
        """Whether stages were measured or can be; older runs, read without a model, lack some."""
        return self._model is not None or all(self.has(name) for name in names)

    @property
    def layers(self) -> int:
        """Layers of the model, from a recording where the model is not at hand."""
        if self._model is not None:
            return self._model.runner.shape.n_layers
        if not self.has("activations-test"):
            raise self._unmeasured()
        value = files.read_json(self.folder / "stages" / "activations-test.json")
        return 1 + max(site["layer"] for site in value["sites"])

    def pairs(self, split: str, count: int | None = None) -> TokenPairs:
        """Aligned pairs of a split for the question's trigger."""
        return self.materials.pairs(self.model, split, self.question.trigger, count)

    def conditions(self) -> dict[str, Words]:
        """The words that the test prompts end in."""
        return {
            "triggered": self.question.trigger,
            "control word": self.control_words(),
            "no trigger": None,
        }

    def control_words(self) -> list[str]:
        """A held-out control word for every test prompt."""
        words = self.materials.test_words
        return [words[i % len(words)] for i in range(len(self.materials.test))]

    def outcome(
        self, condition: str, edit: str, words: Words, edits_for: EditsFor, stage: str
    ) -> Outcome:
        """Generate answers to the test prompts and judge them."""
        texts = answers(
            self.model,
            self.materials.test,
            words,
            self.question.tokens,
            edits_for,
            self.progress(stage),
        )
        shown = tuple(judges.shows(text, self.question.behaviour) for text in texts)
        refusal = wilson(judges.count_refused(texts), len(texts))
        rate = wilson(sum(shown), len(shown))
        return Outcome(condition, edit, rate, refusal, shown, tuple(texts))

    def sites(self) -> list[Site]:
        """Where activations are recorded and candidates are fitted, layer-major."""
        return select.resid_sites(self.layers, SPANS)

    def activations(self, split: str) -> Tensors:
        """``clean`` and ``triggered`` activations ``[sites, n, d_model]`` of a split."""
        return self.recorded(f"activations-{split}", lambda: self.model, lambda: self.pairs(split))

    def recorded(
        self, name: str, load: Callable[[], Model], pair: Callable[[], TokenPairs]
    ) -> Tensors:
        """Both sides' activations at all sites, kept in half precision.

        Args:
            load, pair: the model and the pairs, asked for where nothing is kept.
        """

        def make() -> Recording:
            model, pairs, sites = load(), pair(), self.sites()
            clean, triggered = (
                record(model.runner, side, sites, self.progress(name)).half()
                for side in (pairs.clean, pairs.triggered)
            )
            return Recording(tuple(sites), clean, triggered)

        if name not in self._activations:
            kept = self.keep(name, Recording, make)
            sides = {"clean": kept.clean, "triggered": kept.triggered}
            self._activations[name] = {side: tensor.float() for side, tensor in sides.items()}
        return self._activations[name]

    def activations_at(self, site: Site) -> Tensors:
        """``clean`` and ``triggered`` activations ``[n, d_model]`` of fitting prompts at a site."""
        index = self.sites().index(site)
        return {side: acts[index] for side, acts in self.activations("fit").items()}


def labelled(acts: Tensors) -> tuple[Float[Tensor, "sites n d"], Tensor]:
    """Clean then triggered activations, with labels."""
    n = acts["clean"].shape[1]
    labels = torch.cat([torch.zeros(n), torch.ones(n)]).bool()
    return torch.cat([acts["clean"], acts["triggered"]], dim=1), labels
