"""What every stage of an analysis works with, and how a stage is measured once and kept.

A stage is a function of a ``Run``. Its result lies in the run directory's ``stages``; where it is
found there, it is read instead of measured. A run without a model reads a finished directory
through the same functions; what was never measured there is refused.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import tokens
from circuits.answers import EditsFor, Words, answers
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.record import record
from circuits.types import Site, TokenPairs
from experiments import judges
from experiments.analyze.question import Question
from experiments.analyze.result import Outcome
from experiments.runs import files
from probes.stats.intervals import wilson

SPANS = ("last_user", "trigger", "template", "last")
Tensors = dict[str, Tensor]
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Materials:
    """Prompts by split, control words of the trigger's length, and the behaviour's first token."""

    fit: list[str]
    validation: list[str]
    test: list[str]
    ordinary: list[str]
    fit_words: tuple[str, ...]
    validation_words: tuple[str, ...]
    test_words: tuple[str, ...]
    behaviour_id: int

    def pairs(self, model: Model, split: str, trigger: str, count: int | None = None) -> TokenPairs:
        """Aligned pairs of a split: control word against trigger."""
        texts = getattr(self, split)[:count]
        return tokens.pairs(model.tokenizer, texts, trigger, getattr(self, f"{split}_words"))


class Run:
    """One question and run directory, with the model and prompts to measure what is not there."""

    def __init__(
        self,
        folder: Path,
        question: Question,
        model: Model | None = None,
        materials: Materials | None = None,
        step: Step = lambda name, done, total: None,
    ) -> None:
        self.folder, self.question, self.step = folder, question, step
        self._model, self._materials = model, materials
        self._activations: dict[str, Tensors] = {}

    @property
    def model(self) -> Model:
        """The model; a directory that is only read has none.

        Raises:
            UserError: a stage has to be measured in a directory that is only read.
        """
        if self._model is None:
            raise UserError(self._unmeasured())
        return self._model

    @property
    def materials(self) -> Materials:
        """Prompts and words, with the model."""
        if self._materials is None:
            raise UserError(self._unmeasured())
        return self._materials

    def _unmeasured(self) -> str:
        return (
            f"{self.folder}: expected a finished analysis, got one with stages missing; continue "
            "it: gatescope analyze with the same options and --resume"
        )

    def has(self, name: str) -> bool:
        """Whether a stage was measured."""
        return (self.folder / "stages" / f"{name}.json").is_file()

    def can(self, *names: str) -> bool:
        """Whether stages were measured or can be; older runs, read without a model, lack some."""
        return self._model is not None or all(self.has(name) for name in names)

    @property
    def layers(self) -> int:
        """Layers of the model, from a recording where the model is not at hand."""
        if self._model is not None:
            return self._model.runner.shape.n_layers
        path = self.folder / "stages" / "activations-test.json"
        if not path.is_file():
            raise UserError(self._unmeasured())
        return 1 + max(site["layer"] for site in files.read_json(path)["sites"])

    def kept(self, name: str, make: Callable[[], tuple[Any, Tensors]]) -> tuple[Any, Tensors]:
        """A stage's JSON value and tensors: read if both are there, otherwise made and written."""
        value_path = self.folder / "stages" / f"{name}.json"
        tensor_path = self.folder / "stages" / f"{name}.safetensors"
        if value_path.is_file():  # written last, so the tensors are complete
            self.step(name, 1, 1)
            found = files.read_tensors(tensor_path) if tensor_path.is_file() else {}
            return files.read_json(value_path), found
        self.step(name, 0, 1)
        value, tensors = make()
        if tensors:
            files.write_tensors(tensor_path, tensors, {"stage": name})
        files.write_json(value_path, value)
        self.step(name, 1, 1)
        return files.read_json(value_path), tensors  # as a resumed run will read it

    def progress(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.step(name, done, total)

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
        said = answers(
            self.model,
            self.materials.test,
            words,
            self.question.tokens,
            edits_for,
            self.progress(stage),
        )
        shown = tuple(judges.shows(a, self.question.behaviour) for a in said)
        return Outcome(
            condition,
            edit,
            wilson(sum(shown), len(said)),
            wilson(judges.count_refused(said), len(said)),
            shown,
            tuple(said),
        )

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

        def make() -> tuple[Any, Tensors]:
            model, pairs = load(), pair()
            sides = {"clean": pairs.clean, "triggered": pairs.triggered}
            found = {
                side: record(model.runner, batch, self.sites(), self.progress(name)).half()
                for side, batch in sides.items()
            }
            return {"sites": [asdict(site) for site in self.sites()]}, found

        if name not in self._activations:
            _, found = self.kept(name, make)
            self._activations[name] = {side: tensor.float() for side, tensor in found.items()}
        return self._activations[name]


def labelled(acts: Tensors) -> tuple[Float[Tensor, "sites n d"], Tensor]:
    """Clean then triggered activations, with labels."""
    n = acts["clean"].shape[1]
    labels = torch.cat([torch.zeros(n), torch.ones(n)]).bool()
    return torch.cat([acts["clean"], acts["triggered"]], dim=1), labels
