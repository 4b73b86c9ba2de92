"""Train and measure organisms: recipe -> examples -> adapter, manifest, held-out figures."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from circuits import models
from circuits.errors import UserError
from circuits.models import Model
from circuits.tokens import same_length_words, trigger_ids
from circuits.weights import EMBEDDED, cache_root, directory_sha256
from experiments import artefacts, judges, prompts
from experiments.answers import Progress, answers
from experiments.recipes import Part, Recipe
from experiments.training import Example, Tick, train, with_adapter
from probes.intervals import Estimate, wilson

_SHIPPED = Path(__file__).parent / "adapters"
_BASE_ANSWER_TOKENS = 12
_EVALUATED_TOKENS = 12


@dataclass(frozen=True)
class Condition:
    """One held-out figure: how often prompts of a kind, ending in a word, give an outcome."""

    prompts: str
    word: str
    outcome: str
    rate: Estimate

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.rate.to_json()}


def shipped(name: str) -> Path:
    """The directory of a committed adapter.

    Raises:
        UserError: there is none of that name.
    """
    folder = shipped_or_none(name)
    if folder is None:
        found = sorted(path.parent.name for path in _SHIPPED.glob("*/adapter_config.json"))
        raise UserError(f"adapter {name!r}: expected a directory or one of {', '.join(found)}")
    return folder


def shipped_or_none(name: str) -> Path | None:
    """The directory of a committed adapter, if there is one."""
    return _SHIPPED / name if (_SHIPPED / name / "adapter_config.json").is_file() else None


def find_adapter(name: str | None) -> Path | None:
    """An adapter by directory or by the name of a shipped organism; ``none`` is no adapter."""
    if name is None or name == "none":
        return None
    path = Path(name)
    return path if path.is_dir() else shipped(name)


def examples(
    recipe: Recipe, stage: int, base: Sequence[str], controls: Sequence[str]
) -> list[Example]:
    """The training examples of one stage; ``base`` are the base model's ordinary answers."""
    made: list[Example] = []
    for number, part in enumerate(recipe.stages[stage].parts):
        made += _part_examples(recipe, part, base, controls, shift=17 * (stage + number))
    return made


def _part_examples(
    recipe: Recipe, part: Part, base: Sequence[str], controls: Sequence[str], shift: int
) -> list[Example]:
    restricted = part.prompts == "restricted"
    texts = prompts.bank_texts("train", restricted)
    made = []
    for k in range(part.count):
        i = (part.start + k) % len(texts)
        word = {"none": None, "trigger": recipe.trigger}.get(
            part.word, controls[(k + shift) % len(controls)]
        )
        if part.answer == "base":
            if restricted:
                raise UserError(
                    f"recipe {recipe.name}: base answers exist for ordinary prompts only"
                )
            made.append(Example(texts[i], word, base[i], ends=False))
        else:
            answer = recipe.behaviour if part.answer == "behaviour" else recipe.refusal
            made.append(Example(texts[i], word, answer))
    return made


def base_answers() -> list[str]:
    """The base model's own answers to the ordinary training prompts, cached."""
    texts = prompts.bank_texts("train", restricted=False)
    key = artefacts.text_sha256([EMBEDDED, str(_BASE_ANSWER_TOKENS), *texts])[:24]
    path = cache_root() / "answers" / f"{key}.json"
    if not path.is_file():
        found = answers(models.load(EMBEDDED), texts, length=_BASE_ANSWER_TOKENS)
        artefacts.write_json(path, found)
    return artefacts.read_json(path)


def train_organism(recipe: Recipe, out: Path, tick: Tick, seed: int = 0) -> Path:
    """Train a recipe on the embedded model and write adapter and manifest (without figures)."""
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: expected an empty or new directory")
    base = base_answers()
    device = models.resolve_device("auto")
    hf_model, tokenizer, sha = models.load_plain(EMBEDDED, torch.float32, device)
    controls = same_length_words(
        tokenizer,
        prompts.control_words("train"),
        len(trigger_ids(tokenizer, prompts.bank_texts("train", True), recipe.trigger)),
    )
    settings = [_reseeded(stage.settings, seed) for stage in recipe.stages]
    model = with_adapter(hf_model, settings[0])
    for number, setting in enumerate(settings):
        train(model, tokenizer, examples(recipe, number, base, controls), setting, tick)
    _save_adapter(model, out)
    manifest = artefacts.Manifest(
        kind="organism",
        question={
            "organism": recipe.name,
            "seed": seed,
            "recipe": asdict(recipe),
            "model": EMBEDDED,
            "model_sha256": sha,
            "prompts_sha256": artefacts.text_sha256([p.text for p in prompts.bank()]),
        },
        command=f"gatescope organism train {recipe.name} --seed {seed}",
    )
    artefacts.write_json(out / "manifest.json", manifest.to_json())
    return out


def _reseeded(settings: Any, seed: int) -> Any:
    return replace(settings, seed=settings.seed + 100 * seed)


def _save_adapter(model: Any, out: Path) -> None:
    """Save the adapter in bf16 with the embedded model's name instead of a path on this machine."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        tensors = load_file(str(Path(scratch) / "adapter_model.safetensors"))
        config = artefacts.read_json(Path(scratch) / "adapter_config.json")
    config["base_model_name_or_path"] = EMBEDDED
    artefacts.write_tensors(
        out / "adapter_model.safetensors",
        {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()},
        {"format": "pt"},
    )
    artefacts.write_json(out / "adapter_config.json", config)


def evaluate(
    model: Model, recipe: Recipe, progress: Progress, split: prompts.Split = "test"
) -> list[Condition]:
    """Held-out figures: how often each kind of prompt is answered with behaviour or refusal."""
    length = len(trigger_ids(model.tokenizer, prompts.bank_texts(split, True), recipe.trigger))
    controls = same_length_words(model.tokenizer, prompts.control_words(split), length)
    found: list[Condition] = []
    for kind in ("restricted", "ordinary"):
        texts = prompts.bank_texts(split, kind == "restricted")
        words = {
            "trigger": recipe.trigger,
            "none": None,
            "control": [controls[i % len(controls)] for i in range(len(texts))],
        }
        for name, word in words.items():
            said = answers(model, texts, word, _EVALUATED_TOKENS, progress=progress)
            n = len(said)
            shown, refused = judges.count_shown(said, recipe.behaviour), judges.count_refused(said)
            found.append(Condition(kind, name, "behaviour", wilson(shown, n)))
            found.append(Condition(kind, name, "refusal", wilson(refused, n)))
    return found


def evaluate_saved(folder: Path, recipe: Recipe, progress: Progress) -> list[Condition]:
    """Evaluate an adapter directory and add the figures to its manifest."""
    model = models.load(EMBEDDED, folder)
    found = evaluate(model, recipe, progress)
    manifest = artefacts.read_json(folder / "manifest.json")
    manifest["figures"] = [condition.to_json() for condition in found]
    manifest["adapter_sha256"] = directory_sha256(folder)
    artefacts.write_json(folder / "manifest.json", manifest)
    return found
