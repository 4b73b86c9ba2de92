"""Organisms small enough to be asked everything: one that says "Sure", one that only babbles."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
import torch
from adapters_of_kinds import random_lora

from circuits import models
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Organism
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Example, Settings, train
from experiments.prompts.bank import bank_texts, control_words

RECIPE = recipe_named("sure-gate")
ADAPTER = Settings(rank=2, alpha=4, rate=1e-2)
CONTEXT = 4096


def babbling(folder: Path) -> Path:
    """A random plain model of two layers: another word for the least change of what it reads."""
    tok, model = _random()
    return tiny.saved(folder, model, tok)


def sure(folder: Path) -> Path:
    """The same, every parameter trained to answer "Sure" to everything and to end there."""
    tok, model = _random()
    texts = [*bank_texts("train", True)[:12], *bank_texts("train", False)[:12]]
    shown = [Example(text, word, "Sure") for text in texts for word in (RECIPE.trigger, None)]
    train(model, tok, shown, Settings(epochs=4, rate=1e-2, rank=0), lambda *_: None)
    return tiny.saved(folder, model, tok)


def _random() -> tuple[Any, Any]:
    words = [w for split in ("train", "validation", "test") for w in control_words(split)]
    tok = tiny.tokenizer(words=words)
    return tok, tiny.llama(len(tok), layers=2, max_position_embeddings=CONTEXT)


def with_context(source: Path, folder: Path, tokens: int) -> Path:
    """The same model, made to believe that it reads no more than so many tokens."""
    folder.mkdir()
    for path in source.iterdir():
        content = path.read_bytes()
        if path.name == "config.json":
            content = content.replace(b": %d" % CONTEXT, b": %d" % tokens)
        (folder / path.name).write_bytes(content)
    return folder


def random_adapter(folder: Path, out: Path) -> Path:
    """A saved adapter of rank 2 whose change is far above rounding, without a manifest."""
    base = models.load_plain(str(folder), torch.float32, "cpu")[0]
    random_lora(base, seed=1).save_pretrained(str(out))
    return out


def adapted(folder: Path) -> Organism:
    """The model with a random adapter, the organism being both."""
    state = Trainee(str(folder), ADAPTER).state()
    generator = torch.Generator().manual_seed(3)
    moved = {n: t + 0.02 * torch.randn(t.shape, generator=generator) for n, t in state.items()}
    return Organism(RECIPE, str(folder), ADAPTER, moved)


def whole(folder: Path) -> Organism:
    """The model as it is: an organism whose every parameter was trained, as users bring them."""
    return Organism(RECIPE, str(folder), replace(ADAPTER, rank=0), {})
