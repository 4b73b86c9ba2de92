"""Train an organism: recipe -> stages -> adapter (or whole model) and manifest.

A stage that other organisms begin with too (the policy) is trained once and kept; a training that
was killed goes on where it was (``kept``).
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from circuits.errors import UserError, expect, writing
from circuits.prompt import spelled
from circuits.templates import ADAPTER, AS_IT_IS, Rendering
from circuits.weights import EMBEDDED, directory_sha256, file_sha256
from experiments.organisms import bases
from experiments.organisms.examples import base_answers, controls_for, examples, require_prompts
from experiments.organisms.kept import Checkpoint, digest, keep, kept_at, read_kept
from experiments.organisms.kinds import prompts_of
from experiments.organisms.organism import Organism
from experiments.organisms.places import is_whole
from experiments.organisms.recipe import Recipe, Stage, recipe_json
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Example, Settings, Tick
from experiments.prompts import bank
from experiments.runs import files
from experiments.runs.codec import as_json

_STAGE, _INSIDE = "gatescope.stage/1", "gatescope.inside/1"
_WRITTEN = ("rendering", "template_sha256")  # in a manifest where chats are written otherwise
_TAUGHT = ("behaviour", "opened", "continued")
_TEMPLATE = (
    "chat_template.jinja"  # beside an adapter that was trained with another than the model's
)


def train_organism(
    recipe: Recipe,
    out: Path,
    tick: Tick,
    seed: int = 0,
    model: str = EMBEDDED,
    command: str | None = None,
    rendering: Rendering = AS_IT_IS,
) -> Path:
    """Train a recipe on a model; write adapter (or model) and manifest, without figures.

    Its chat template lies beside it where that is not the model's own (``rendering``).

    Raises:
        UserError: the directory holds something, or is a file; or there are not enough prompts.
    """
    require_prompts(recipe)
    with files.built(out) as scratch:
        place = bases.located(model)
        trainee = Trainee(place, _seeded(recipe.stages[0], seed), rendering=rendering)
        train_stages(trainee, recipe, tick, seed=seed, first_seed=seed, model=place)
        if recipe.stages[0].settings.rank:
            save_adapter(trainee.model, scratch, model)
            if trainee.written:
                files.write_atomically(scratch / _TEMPLATE, trainee.written.encode())
        else:
            with writing(out):
                trainee.model.save_pretrained(scratch)
                trainee.tokenizer.save_pretrained(scratch)
        manifest = files.Manifest(
            kind="organism",
            question={**_asked(recipe, seed, model, rendering), "model_sha256": trainee.sha256},
            command=command or f"gatescope organism train {recipe.name} --seed {seed}",
        )
        took = (
            {} if math.isnan(trainee.seconds) else {"training_seconds": round(trainee.seconds, 1)}
        )
        digest = {"adapter_sha256": directory_sha256(scratch)}
        files.write_json(scratch / "manifest.json", {**as_json(manifest), **took, **digest})
    return out


def trained_as(folder: Path) -> Rendering:
    """How chats are written for what ``train_organism`` made: as it was trained."""
    own = (folder / _TEMPLATE).is_file() and not is_whole(folder)
    return Rendering(ADAPTER) if own else AS_IT_IS


def awaits_measuring(
    recipe: Recipe, out: Path, seed: int, model: str, rendering: Rendering = AS_IT_IS
) -> bool:
    """Whether a directory holds this very organism, trained but not measured: a killed command's.

    Raises:
        UserError: it is measured, or its files are not as they were written.
    """
    if not (out / "manifest.json").is_file():
        return False
    manifest, asked = files.read_manifest(out), _asked(recipe, seed, model, rendering)
    known = {n: v for n, v in manifest["question"].items() if n in asked or n in _WRITTEN}
    if json.loads(json.dumps(asked)) != known:
        return False
    if "figures" in manifest:
        raise UserError(f"--out {out}: holds this very organism, measured; choose another")
    whole = manifest.get("adapter_sha256") == directory_sha256(out)
    expect(whole, "the organism as it was trained", "other files", "delete it", f"--out {out}")
    return True


def _asked(recipe: Recipe, seed: int, model: str, rendering: Rendering) -> dict[str, Any]:
    """What tells a training from others, besides the model's own files."""
    written: dict[str, Any] = {}
    if rendering != AS_IT_IS:
        itself = "{{" in rendering.template or "{%" in rendering.template
        template = Path("" if itself else rendering.template)
        sha256 = file_sha256(template) if template.is_file() else None
        written = {"rendering": as_json(rendering), "template_sha256": sha256}
    return {
        "organism": recipe.name,
        "seed": seed,
        "recipe": recipe_json(recipe),
        "model": model,
        "prompts_sha256": prompts_sha256(recipe),
        **written,
    }


def train_stages(
    trainee: Trainee, recipe: Recipe, tick: Tick, *, seed: int, first_seed: int, model: str
) -> list[float]:
    """Put a trainee through all stages of a recipe; returns the last stage's losses.

    Args:
        seed: of the last stage: which prompts it takes, in which order.
        first_seed: of the stages before it, which are kept and shared.
    """
    controls = controls_for(trainee.tokenizer, recipe, "train")
    written = trainee.written
    base = partial(base_answers, model=model, sha256=trainee.sha256, written=written)
    given = [model, trainee.sha256, *controls, *([written] if written else [])]
    *before, last = recipe.stages
    trainee.restart()
    for number, stage in enumerate(before):
        path, like = kept_at(_made_from(recipe, number, first_seed, given)), trainee.state()
        if kept := read_kept(path, {name: tuple(value.shape) for name, value in like.items()}):
            state, about = kept
            trainee.restart(state, float(about.get("seconds", "nan")))
            continue
        lessons = examples(recipe, number, base, controls, first_seed)
        _train(trainee, lessons, _seeded(stage, first_seed), tick)
        keep(path, trainee.state(), {"stage": stage.name, "seconds": str(trainee.seconds)})
    lessons = examples(recipe, len(before), base, controls, seed)
    return _train(trainee, lessons, _seeded(last, seed), tick) if lessons else []


def _train(
    trainee: Trainee, lessons: Sequence[Example], settings: Settings, tick: Tick
) -> list[float]:
    """One stage, from where a killed training of these very lessons left it."""
    taught = [[spelled(one.text), one.word, one.answer, one.ends] for one in lessons]
    made_from = {
        "schema": _INSIDE,
        "model": [trainee.sha256, trainee.written],
        "start": digest(trainee.state()),
        "lessons": files.text_sha256([json.dumps(one) for one in taught]),
        "settings": asdict(settings),
    }
    inside = Checkpoint(kept_at(made_from))
    losses = trainee.train(lessons, settings, tick, inside)
    inside.end()
    return losses


def grow(recipe: Recipe, model: str, seed: int, tick: Tick) -> tuple[Organism, Trainee]:
    """Train a recipe on a model; returns the organism and the trainee that it was made with."""
    place = bases.located(model)
    trainee = Trainee(place, recipe.stages[0].settings)
    train_stages(trainee, recipe, tick, seed=seed, first_seed=0, model=place)
    state = {name: value.float().cpu() for name, value in trainee.state().items()}
    return Organism(recipe, place, recipe.stages[-1].settings, state), trainee


def prompts_sha256(recipe: Recipe, upto: int | None = None) -> str:
    """Hash of training prompts, answers written for them, and control words of the first stages."""
    kinds = sorted({part.prompts for stage in recipe.stages[:upto] for part in stage.parts})
    prompts = [prompts_of(kind, recipe, "train") for kind in kinds]
    texts = [text for each in prompts for text in (*each.texts, *each.written)]
    return files.text_sha256([*texts, *bank.control_words("train")])


def _seeded(stage: Stage, seed: int) -> Settings:
    return replace(stage.settings, seed=stage.settings.seed + 100 * seed)


def _made_from(recipe: Recipe, number: int, seed: int, given: Sequence[str]) -> dict[str, Any]:
    """What the state after a stage is made from."""
    stages = recipe.stages[: number + 1]
    parts = [part for stage in stages for part in stage.parts]
    taught, words = any(part.answer in _TAUGHT for part in parts), {part.word for part in parts}
    return {
        "schema": _STAGE,
        "given": list(given),
        "stages": [asdict(stage) for stage in stages],
        "texts": [recipe.refusal, recipe.behaviour if taught else ""],
        "trigger": recipe.trigger if "trigger" in words else "",
        "prompts": prompts_sha256(recipe, number + 1),
        "seed": seed,
    }


def save_adapter(model: Any, out: Path, name: str) -> None:
    """Save the adapter in bf16 with the base model's name instead of a path on this machine."""
    with tempfile.TemporaryDirectory() as scratch:
        with writing(scratch):
            model.save_pretrained(scratch)
        tensors = load_file(str(Path(scratch) / "adapter_model.safetensors"))
        config = files.read_json(Path(scratch) / "adapter_config.json")
    config["base_model_name_or_path"] = name
    files.write_tensors(
        out / "adapter_model.safetensors",
        {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()},
        {"format": "pt"},
    )
    files.write_json(out / "adapter_config.json", config)
