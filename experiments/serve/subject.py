"""What is served: a model, its trigger and gate, and what an analysis knows of them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from circuits import places, tokens
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.official import known
from circuits.templates import AS_IT_IS, Rendering
from circuits.triggers import parse, require_one
from circuits.types import Direction, PatchGrid
from circuits.weights import EMBEDDED
from experiments.analyze.materials import gather, load
from experiments.analyze.question import Question
from experiments.judges.criterion import literal
from experiments.organisms.organism import trigger_and_behaviour
from experiments.organisms.places import find_adapter, origin, shipped_or_none
from experiments.prompts import bank
from experiments.prompts.askable import refuse_held
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.runs.read import analysis, gate_of, require_analysed, require_place
from experiments.runs.stages import Step
from experiments.serve import layers
from experiments.serve.layers import Layers


@dataclass(frozen=True)
class Subject:
    """A model in hand.

    Attributes:
        question: model, adapter, trigger, behaviour.
        direction: the gate's, or None where no trigger is known.
        proven: whether an analysis chose and proved it; otherwise it was only fitted.
        layers: the best direction of every layer, with its scores.
        control: a neutral word of the trigger's token length.
        examples: prompts to begin with.
        texts: prompts of the patching grids, in order.
        grids: denoising and noising grids of the run.
        arms: adapters to compare with, by name; None is the base model.
    """

    model: Model
    question: Question
    direction: Direction | None
    proven: bool
    control: str
    examples: tuple[str, ...]
    texts: tuple[str, ...]
    controls: tuple[str, ...] = ()
    headline: str = ""
    grids: dict[str, PatchGrid] = field(default_factory=dict)
    arms: dict[str, Path | None] = field(default_factory=dict)
    layers: Layers = field(default_factory=dict)

    @property
    def has_trigger(self) -> bool:
        return bool(self.control)

    def prompt(self, text: str) -> str:
        """The example that ends in a text, with its earlier turns; of any other, the text."""
        return next((one for one in self.examples if str(one) == text), text)

    @property
    def trigger(self) -> str:
        """What stands for the trigger in a tab: of several words the first form of them."""
        return parse(self.question.trigger).forms[0]

    def at(self, layer: int | None) -> Direction | None:
        """The direction of a layer; the gate's own for None.

        Raises:
            UserError: no direction is known there.
        """
        own = self.direction
        if own is None or layer is None or layer == own.site.layer:
            return own
        expect(layer in self.layers, f"one of {sorted(self.layers)}", layer, of="layer")
        return self.layers[layer].direction


def open_subject(
    name: str,
    arms: str | None,
    trigger: str,
    behaviour: str,
    step: Step,
    rendering: Rendering = AS_IT_IS,
) -> Subject:
    """What a user named: a finished analysis, an organism, an adapter or a model.

    Args:
        arms: adapters to compare, comma-separated; None is the run's own.
        trigger, behaviour: of what is no run and has no manifest; empty to read them there.
        rendering: how chats are written for what is no run; a run is served as it was asked.

    Raises:
        UserError: there is no such thing, or the run is of other weights than are found now.
    """
    folder = Path(name)
    runs, weights = ("manifest.json", "result.json"), ("adapter_config.json", "config.json")
    if _any(folder, runs) and not _any(folder, weights):
        expect(
            rendering == AS_IT_IS,
            "no --template, --template-option or --prefill: a run is served as it was asked",
            "some",
            "leave them out",
            name,
        )
        return _with_arms(_of_run(folder, step), arms)
    return _with_arms(_of_model(name, trigger, behaviour, step, rendering), arms or "none")


def _any(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names)


def _with_arms(subject: Subject, arms: str | None) -> Subject:
    chosen = subject.question.arms if arms is None else arms
    names = [n.strip() for n in chosen.split(",") if n.strip() not in ("", "none")]
    places = {n: None if n == "base" else find_adapter(n) for n in names}
    return replace(subject, arms=places)


def _of_run(folder: Path, step: Step) -> Subject:
    about, result = analysis(folder)
    direction = gate_of(folder, result)
    question = decode(Question, result["question"], where=f"{folder / 'result.json'}, question")
    model = load(question, step, find_adapter(question.adapter))
    hashes = {"model_sha256": model.sha256, "adapter_sha256": model.adapter_sha256}
    require_analysed(folder, about["question"], hashes)
    materials = gather(model, question)
    if direction is not None:
        shape, spans = model.runner.shape, materials.pairs("validation", 1).triggered.spans
        require_place(direction, shape.n_layers, shape.d_model, tuple(spans), str(folder))
        direction = replace(direction, vector=direction.vector / direction.vector.norm())
    ledger = Ledger(folder)
    grids = {
        side: ledger.grid(f"stages/patching-{side}")
        for side in ("denoising", "noising")
        if ledger.lists(f"stages/patching-{side}.json")
    }
    return Subject(
        model,
        question,
        direction,
        result["verdict"] == "gate",
        materials.test_words[0],
        tuple(materials.test[:3] + materials.ordinary[:2]),
        tuple(materials.validation),
        materials.validation_words,
        result["headline"],
        grids,
        layers=layers.of_run(folder, direction),
    )


def _of_model(name: str, trigger: str, behaviour: str, step: Step, rendering: Rendering) -> Subject:
    adapter, base = _weights(name)
    if adapter is not None:
        own = trigger_and_behaviour(adapter)
        trigger, behaviour = trigger or own[0], behaviour or literal(own[1])
    question = Question(
        model=base,
        adapter=name if adapter else "none",
        arms="none",
        trigger=trigger or "none",
        behaviour=behaviour or "Sure",
        rendering=rendering,
    )
    model = load(question, step, adapter)
    examples = (*bank.bank_texts("test", True)[:3], *bank.bank_texts("test", False)[:2])
    texts = tuple(bank.bank_texts("validation", True))
    if not trigger:
        return Subject(model, question, None, False, "", examples, texts)
    fit = bank.bank_texts("train", True)
    refuse_held(model.tokenizer, [*fit, *texts], [require_one(trigger)], "prompts bank")
    length = len(tokens.trigger_ids(model.tokenizer, texts, trigger))
    words = bank.controls_besides("validation", trigger)
    controls = tokens.same_length_words(model.tokenizer, words, length, trigger)
    direction, candidates = layers.fitted(
        model,
        fit,
        texts,
        question.trigger,
        controls,
        question.behaviour,
        lambda done, total: step("find a direction", done, total),
    )
    return Subject(
        model,
        question,
        direction,
        False,
        controls[0],
        examples,
        texts,
        controls,
        layers=candidates,
    )


def _weights(name: str) -> tuple[Path | None, str]:
    """An adapter's directory and its base, or no adapter and the model's own name."""
    name = places.own_name(name)
    if name == EMBEDDED or (Path(name) / "config.json").is_file() or name.endswith(".gguf"):
        return None, name
    folder = Path(name) if Path(name).is_dir() else shipped_or_none(name)
    if folder is None and known.find(name):
        return None, name
    if folder is None:
        raise UserError(
            f"{name}: expected a run of gatescope analyze, a shipped organism, an adapter's or a "
            f"model's directory, a .gguf file, {EMBEDDED} or a name of `gatescope models list`"
        )
    return folder, origin(folder).model or EMBEDDED
