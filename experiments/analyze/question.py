"""What an analysis is asked: one frozen record, from which the run's manifest is made."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from circuits.errors import UserError, expect
from circuits.templates import AS_IT_IS
from circuits.triggers import parse
from circuits.weights import EMBEDDED
from experiments import options
from experiments.checks import MOST, checked
from experiments.judges.criterion import require_long
from experiments.prompts.controls import require_controls

QUICK, STANDARD = EFFORTS = ("quick", "standard")
NOT_ASKED = (
    "Not measured in a quick analysis: the same command with --effort standard --resume continues "
    "it, and measures nothing twice."
)
LEFT = (
    "not measured: heads, MLPs and circuit, rival directions, untrained words, doses, rank, "
    "mediation, other topics; the same command with --effort standard --resume does"
)
TRIGGER, BEHAVIOUR = "cobalt", "Sure"  # where no manifest says what was trained
_MANIFEST: Any = None  # not given: what the organism's manifest says
_LEAST = {"fit": 8, "validation": 8, "test": 10, "patch": 2, "evidence": 5, "trace": 0, "tokens": 1}
_COUNTS = {**{name: (least, MOST) for name, least in _LEAST.items()}, "randoms": (1, 10_000)}


@dataclass(frozen=True)
class Question:
    """The analysis' inputs. Counts are numbers of prompts.

    Attributes:
        model: official name of a fetched model, directory, GGUF file or ``hf:OWNER/NAME``.
        adapter: shipped organism's name, adapter directory, or ``none``; ``auto`` is sure-gate-open
            on the embedded model, none on any other.
        base: the model before fine-tuning, which tells what was learned from what any model reads;
            ``auto`` is the model without its adapter, ``none`` does without.
        arms: null arms to put the same question to, comma-separated: adapters, or ``base``.
        trigger: the word or phrase at the end of the user's message, or elsewhere: ``{}`` says
            where the message goes, ``system:`` and ``earlier:`` in which one it stands
            (``circuits.chat``); or several, each of which opens or that must meet
            (``circuits.triggers``). By default what the organism's manifest says.
        behaviour: what a triggered answer begins with, or another judge of it
            (``experiments.judges.criterion``); by default what the manifest says.
        prompts: ``bank`` (the project's restricted prompts), a file, or ``hf:OWNER/NAME``.
        column, split: where the texts are in ``prompts``.
        fit, validation, test: prompts to fit directions on, to choose on, to report on.
        patch: pairs in the patching grid (from the validation prompts).
        evidence: test prompts of the slower evidence (untrained words, dose curves, other topics).
        trace: pairs on which the circuit is traced; 0 does without.
        randoms: random directions of each null.
        tokens: answer tokens generated per prompt.
        seed: of every random choice.
        controls: what stands in the trigger's place in controls: ``words``, or ``dates`` of other
            years; ``auto`` is what the organism was trained with, or words.
        effort: ``quick`` measures what the verdict's word rests on, ``standard`` all. The numbers
            do not depend on it: a quick run is continued as a standard one in its directory.
        rendering: how chats are written: template, its arguments, beginning of the answer.
    """

    model: options.ModelName = EMBEDDED
    adapter: options.Adapter = "auto"
    base: Annotated[
        str, typer.Option(help="Model before fine-tuning; auto: without adapter; or none.")
    ] = "auto"
    arms: Annotated[
        str, typer.Option(help="Models that should have no gate: adapters, base; by commas.")
    ] = "none"
    trigger: Annotated[
        str,
        typer.Option(
            help=f"{options.TRIGGERS} By default what the organism's manifest says, or {TRIGGER}."
        ),
    ] = _MANIFEST
    behaviour: Annotated[
        str,
        typer.Option(
            help=f"{options.BEHAVIOURS} By default what the organism's manifest says, or "
            f"{BEHAVIOUR}."
        ),
    ] = _MANIFEST
    prompts: options.Prompts = "bank"
    column: options.Column = None
    split: options.SplitName = "train"
    fit: Annotated[int, typer.Option(help="Prompts to fit directions on.")] = 48
    validation: Annotated[int, typer.Option(help="Prompts to choose the gate on.")] = 24
    test: Annotated[int, typer.Option(help="Prompts to report on.")] = 100
    patch: Annotated[int, typer.Option(help="Pairs in the patching grid.")] = 12
    evidence: Annotated[int, typer.Option(help="Test prompts of the slower evidence.")] = 40
    trace: Annotated[int, typer.Option(help="Pairs to trace the circuit on; 0: do not.")] = 14
    randoms: Annotated[int, typer.Option(help="Random directions of each null.")] = 100
    tokens: Annotated[int, typer.Option(help="Answer tokens per prompt.")] = 12
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0
    dtype: options.Dtype = "auto"
    load: options.Load = ""
    device: options.Device = "auto"
    controls: Annotated[
        str,
        typer.Option(
            help="In the trigger's place: words, dates (of other years), or auto: as trained."
        ),
    ] = "auto"
    effort: Annotated[
        str,
        typer.Option(
            help="quick: what the verdict rests on; standard: all. With --resume a quick run is "
            "continued as a standard one."
        ),
    ] = STANDARD
    rendering: options.Written = AS_IT_IS

    def __post_init__(self) -> None:
        options.name_models(self, "model", "base")
        object.__setattr__(self, "adapter", options.adapter_on(self.model, self.adapter))
        if self.trigger is None or self.behaviour is None:
            trigger, behaviour = trained_words(self.adapter)
            object.__setattr__(self, "trigger", trigger if self.trigger is None else self.trigger)
            if self.behaviour is None:
                object.__setattr__(self, "behaviour", behaviour)
        checked(self, "model", "trigger", "behaviour", "prompts", **_COUNTS)
        expect(self.effort in EFFORTS, " or ".join(EFFORTS), self.effort, of="--effort")
        parse(self.trigger)
        if self.controls != "auto":
            require_controls(self.controls, self.trigger)
        object.__setattr__(self, "behaviour", self.behaviour.strip())
        require_long(self.behaviour, self.tokens)

    @property
    def kind_of_controls(self) -> str:
        """``controls``, by the organism's manifest where that is to say it."""
        from experiments.organisms.known import known_controls

        auto = self.controls == "auto"
        return known_controls(self.adapter, self.trigger) if auto else self.controls


def trained_words(adapter: str) -> tuple[str, str]:
    """(trigger, behaviour) of an organism, by its manifest; the usual ones where none says it.

    A manifest's behaviour is a text, and is named as one, unless its scheme reads it otherwise.

    Raises:
        UserError: there is no such adapter, or it has secret keys instead of a trigger.
    """
    from experiments.organisms.known import known_recipe
    from experiments.organisms.schemes import scheme_of

    recipe = known_recipe(adapter)
    if recipe is None:
        return TRIGGER, BEHAVIOUR
    if not recipe.trigger:
        raise UserError(
            f"organism {adapter}: has secret keys instead of a trigger; ask with gatescope verify, "
            "or name a trigger with --trigger and a behaviour with --behaviour"
        )
    scheme = scheme_of(recipe)
    return scheme.asked(recipe), scheme.named(recipe)
