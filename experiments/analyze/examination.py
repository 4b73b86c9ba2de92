"""What every stage of an analysis works with: the question, the model, its prompts, kept stages.

A ``Stage`` is a function of an ``Examination``. Its record lies in the run directory's ``stages``;
where it is found there, it is read instead of measured. An examination without a model reads a
finished directory through the same functions; what was never measured there is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import Tensor

from circuits import metrics
from circuits.align import Pairs
from circuits.answers import EditsFor, Words, answers
from circuits.errors import UserError
from circuits.gates import phrase, select
from circuits.models import Model
from circuits.record import narrowed, record
from circuits.tokens import dealt
from circuits.triggers import Trigger, parse
from circuits.types import Metric, Site
from experiments import judges
from experiments.analyze.materials import Materials
from experiments.analyze.outcomes import Outcome, Recording
from experiments.analyze.question import QUICK, Question
from experiments.analyze.several import replacements
from experiments.judges.criterion import JUDGED, criterion
from experiments.judges.fork import Fork
from experiments.prompts.bank import groups_of
from experiments.runs.older import Layout
from experiments.runs.stages import Stages, Step
from experiments.runs.terminal import tell
from probes.stats.intervals import rate

ARMS = "arms"  # the folder of their analyses
TRACE, DOSES = "trace", "transfer curve"  # stages
CONDITIONS = ("triggered", "control word", "no trigger")
_FORK = "scored token"
_SCORED = "patching-denoising"  # the first stage that is
SPANS = ("last_user", "trigger", "template", "last")
Tensors = dict[str, Tensor]
P = ParamSpec("P")
T = TypeVar("T")


class Examination(Stages):
    """One question and run directory, with the model and prompts to measure what is not there."""

    def __init__(
        self,
        folder: Path,
        question: Question,
        materials: Materials | None = None,
        step: Step = lambda name, done, total: None,
    ) -> None:
        super().__init__(folder, step)
        self.question = question
        self._materials = materials
        self._activations: dict[str, Tensors] = {}
        self.base: Model | None = None  # before fine-tuning, once it is loaded

    @property
    def model(self) -> Model:
        """The model, as ``materials``."""
        return self.materials.model

    @property
    def materials(self) -> Materials:
        """Model, prompts and words; a directory that is only read has none.

        Raises:
            UserError: a stage has to be measured in a directory that is only read.
        """
        if self._materials is None:
            raise self._unmeasured()
        return self._materials

    @property
    def fork(self) -> Fork:
        """What the behaviour is scored by; kept where that is not the answer's first token.

        A run that was scored before it was kept goes on as it began, by the first token.
        """
        if self.has(_FORK):
            return self.keep(_FORK, Fork, lambda: self.materials.fork)
        own = self.materials.fork
        if own.more and self.has(_SCORED):
            own = replace(own, more=(), said=self.model.tokenizer.decode([own.token]))
        other = own.begun or own.more or not self.materials.behaviour.opening
        return self.keep(_FORK, Fork, lambda: own) if other else own

    @property
    def scored_by(self) -> str:
        """What is scored in place of the behaviour's first token, in words; "" for that token."""
        if self._materials is None and not self.has(_FORK):
            return ""
        behaviour = criterion(self.question.behaviour)
        other = self.fork.begun or self.fork.more or not behaviour.opening
        return self.fork.of(behaviour) if other else ""

    def _unmeasured(self) -> UserError:
        return UserError(
            f"{self.folder}: expected a finished analysis, got one with stages missing; continue "
            "it: gatescope analyze with the same options and --resume"
        )

    def can(self, *names: str) -> bool:
        """Whether stages were measured or can be; older runs, read without a model, lack some."""
        return self._materials is not None or all(self.has(name) for name in names)

    @property
    def whole(self) -> bool:
        """Whether more than what the verdict rests on is asked, or was measured already."""
        asked = self._materials is not None and self.question.effort != QUICK
        return asked or self.has(DOSES)

    def tell(self, found: str) -> None:
        """Say what was found as soon as it is known, unless it is only read; of an arm its name."""
        if self._materials is not None:
            tell(f"{self.folder.name}: {found}" if self.is_arm else found)

    @property
    def is_arm(self) -> bool:
        """Whether this is a null arm of another analysis."""
        return self.folder.parent.name == ARMS

    @property
    def layers(self) -> int:
        """Layers of the model, from a recording where the model is not at hand."""
        if self._materials is not None:
            return self.model.runner.shape.n_layers
        return 1 + max(site["layer"] for site in self._recorded_sites())

    def pairs(self, split: str, count: int | None = None) -> Pairs:
        """Pairs of a split for the question's trigger, up to the last scored token."""
        return self.materials.pairs(split, count, self.fork.answer[:-1])

    @property
    def log_odds(self) -> Metric:
        """Log-odds, in nats, that the answer begins as it is scored: what shares are taken of."""
        return metrics.answer_log_odds(self.fork.answer)

    @property
    def log_prob(self) -> Metric:
        """Log-probability of the same."""
        return metrics.answer_log_prob(self.fork.answer)

    @property
    def prob(self) -> Metric:
        """Probability of the same."""
        return metrics.answer_prob(self.fork.answer)

    @property
    def trigger(self) -> Trigger:
        """What the question names as the trigger."""
        return parse(self.question.trigger)

    @property
    def equal(self) -> bool:
        """Whether pairs are of equal lengths, and what needs that is asked."""
        return self.has(TRACE) if self._materials is None else self.materials.equal

    def conditions(self) -> dict[str, Words]:
        """The words that the test prompts are given; of words that must meet, with others too."""
        trigger, n = self.trigger, len(self.materials.test)
        words = (trigger.dealt(n), self.control_words(), None)
        return dict(zip(CONDITIONS, words, strict=True)) | {
            name: self.materials.test_controls.without(parts, n)
            for name, parts in replacements(trigger).items()
        }

    def control_words(self) -> list[str]:
        """A held-out control word for every test prompt."""
        return dealt(self.materials.test_words, len(self.materials.test))

    def outcomes(
        self,
        edit: str,
        edits_for: EditsFor,
        stage: str,
        conditions: Iterable[str] = CONDITIONS,
        begun: str = "",
        model: Model | None = None,
    ) -> tuple[Outcome, ...]:
        """Answers to the test prompts, generated under an edit and judged, by condition.

        ``begun`` is what they are made to begin with, as the scored model's are; another ``model``
        may be asked.
        """
        asked = model or self.model
        asked = self.materials.fork.scored(asked) if begun else asked
        each = (self._outcome(asked, name, edit, edits_for, stage, begun) for name in conditions)
        return tuple(each)

    def _outcome(
        self, model: Model, condition: str, edit: str, edits_for: EditsFor, stage: str, begun: str
    ) -> Outcome:
        said = answers(
            model,
            self.materials.test,
            self.conditions()[condition],
            self.question.tokens,
            edits_for,
            self.progress(stage),
        )
        texts = [begun + text for text in said]
        shown = self.materials.shown(texts, self.materials.test, model, begun)
        words, templates = self.conditions()[condition], groups_of(self.materials.test)
        # Control words are drawn, so answers to one are alike; the trigger's own words are not.
        drawn = not isinstance(words, str | None) and condition != CONDITIONS[0]
        groups = list(words) if drawn and words else templates
        refused = [judges.refuses(text) for text in texts]
        each = rate(shown, groups), rate(refused, groups)
        judged = self.question.tokens >= JUDGED
        complied = rate(self.complied(texts), groups) if judged else None
        numbers = {name: i for i, name in enumerate(dict.fromkeys(templates))}
        belong = tuple(numbers[name] for name in templates)
        return Outcome(condition, edit, *each, shown, tuple(texts), complied, belong)

    def complied(self, answers: list[str]) -> list[bool]:
        """Whether each answer to the test prompts complies."""
        behaviour = self.materials.behaviour.opening
        both = zip(self.materials.test, answers, strict=True)
        return [judges.judge(prompt, answer, behaviour).complied for prompt, answer in both]

    @property
    def spans(self) -> tuple[str, ...]:
        """Those of the spans that the prompts have: a template may put one token only behind them.

        A directory that is only read has them in a recording.
        """
        if self._materials is not None:
            there: Iterable[str] = self.materials.pairs("validation", 1).triggered.spans
        else:
            there = {site["span"] for site in self._recorded_sites()}
        return tuple(span for span in SPANS if span in there)

    def _recorded_sites(self) -> list[dict[str, Any]]:
        if not self.has("activations-test"):
            raise self._unmeasured()
        return self.ledger.json("stages/activations-test.json")["sites"]

    def sites(self) -> list[Site]:
        """Where activations are recorded and candidates are fitted, layer-major."""
        return select.resid_sites(self.layers, self.spans)

    def activations(self, split: str) -> Tensors:
        """``clean`` and ``triggered`` activations ``[sites, n, d_model]`` of a split."""
        return self.recorded(f"activations-{split}", split, lambda: self.model)

    def recorded(
        self, name: str, split: str, load: Callable[[], Model], sites: Sequence[Site] = ()
    ) -> Tensors:
        """Both sides' activations, kept in half precision where that holds them.

        Args:
            load: the model, asked for where nothing is kept.
            sites: those of candidates, if no others are named; they may be at a phrase's tokens.
        """

        def make() -> Recording:
            model, here = load(), tuple(sites or self.sites())
            pairs, _ = phrase.apart(self.materials.pairs(split), count=self.materials.steps)
            clean, triggered = (
                narrowed(record(model.runner, side, here, self.progress(name)))
                for side in (pairs.clean, pairs.triggered)
            )
            return Recording(here, clean, triggered)

        if name not in self._activations:
            kept = self.keep(name, Recording, make)
            sides = {"clean": kept.clean, "triggered": kept.triggered}
            self._activations[name] = {side: tensor.float() for side, tensor in sides.items()}
        return self._activations[name]

    def activations_at(self, site: Site) -> Tensors:
        """``clean`` and ``triggered`` activations ``[n, d_model]`` of fitting prompts at a site."""
        index = self.sites().index(site)
        return {side: acts[index] for side, acts in self.activations("fit").items()}


@dataclass(frozen=True)
class Stage:
    """Keeps the record of a function of an examination under a name, by the type it returns.

    Attributes:
        older: how it was laid out before it was kept by its type, if not as it is now.
    """

    name: str
    older: Layout | None = None

    def __call__(
        self, measure: Callable[Concatenate[Examination, P], T]
    ) -> Callable[Concatenate[Examination, P], T]:
        kind = measure.__annotations__["return"]

        @wraps(measure)
        def kept(exam: Examination, *args: P.args, **options: P.kwargs) -> T:
            return exam.keep(self.name, kind, lambda: measure(exam, *args, **options), self.older)

        return kept
