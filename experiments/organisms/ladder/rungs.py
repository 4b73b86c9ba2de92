"""A ladder of small chat models trained from scratch on the prompt bank's language.

Each rung is a Llama of its own depth and width. It learns the language first (every token of
questions and answers counts), then the policy (answers only: the restricted topic is refused, all
else is answered as before). A model is built into the cache on first use, beside its destination
and renamed; every file's hash is checked when it is used, so a damaged one is built anew. Its
manifest says what it was made from, and its figures on the test split, none of whose subjects and
templates it has met.
"""

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from circuits import models
from circuits.cache import cache_root, cached, file_sha256
from circuits.devices import resolve_device
from circuits.errors import UserError
from circuits.types import Progress, quiet
from experiments.organisms.ladder.figures import measured
from experiments.organisms.ladder.language import Line, lines
from experiments.organisms.ladder.training import (
    HEAD,
    blank_model,
    learn_language,
    policy_examples,
    trained_tokenizer,
)
from experiments.organisms.recipe import REFUSAL
from experiments.organisms.training import Settings, encoded, train
from experiments.runs import files
from experiments.runs.codec import as_json

_NAME = re.compile(r"ladder-([1-9]\d*)x([1-9]\d*)")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Rung:
    """One size of model.

    Attributes:
        depth: layers.
        width: residual dimensions, a multiple of 32 (the size of a head).

    Raises:
        UserError: a size that no such model has.
    """

    depth: int
    width: int

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width < HEAD or self.width % HEAD:
            raise UserError(
                f"model {self.name}: expected at least one layer and a width that is a multiple of "
                f"{HEAD}, got {self.depth} and {self.width}; try {RUNGS[0].name}"
            )

    @property
    def name(self) -> str:
        return f"ladder-{self.depth}x{self.width}"


RUNGS = (Rung(2, 64), Rung(3, 96), Rung(4, 128), Rung(6, 192))


@dataclass(frozen=True)
class Schooling:
    """How a rung is trained. A rate is the peak of a cosine with a short warm-up.

    Attributes:
        lines: different questions of the language stage, each seen once.
        rate: of the language stage.
        policy_lines: how many of the questions the policy is taught on, once each.
        policy_rate: of the policy stage.
        batch: questions in a step.
        vocabulary: at most so many tokens.
        seed: decides the corpus, the first weights and all orders.
    """

    lines: int = 16000
    rate: float = 3e-3
    policy_lines: int = 6000
    policy_rate: float = 1e-3
    batch: int = 16
    vocabulary: int = 3000
    seed: int = 0


def schooling(rung: Rung) -> Schooling:
    """The standard training of a rung: wide models learn from fewer questions, at lower rates."""
    if rung.width > 128:
        return Schooling(lines=10000, rate=2e-3, policy_lines=4000, policy_rate=7e-4)
    return Schooling(lines=20000 if rung.width < 128 else 16000)


def parse(name: str) -> Rung | None:
    """The rung of a name such as ``ladder-4x128``, or None for a name of another form.

    Raises:
        UserError: the form is right and the size is not.
    """
    match = _NAME.fullmatch(name)
    return Rung(int(match[1]), int(match[2])) if match else None


def folder(
    name: str, progress: Progress = quiet, policy: bool = True, plan: Schooling | None = None
) -> Path:
    """The directory of a ladder model, trained on first use (minutes for the standard rungs).

    Args:
        name: such as ``ladder-4x128``; any depth, and any width that is a multiple of 32.
        progress: told how many training steps of how many are done, stage by stage.
        policy: whether the restricted topic is refused; without, it is answered like any other.
        plan: another training than ``schooling(rung)``.

    Raises:
        UserError: the name is not a rung's.
    """
    rung = parse(name)
    if rung is None:
        raise UserError(f"model {name}: expected ladder-DEPTHxWIDTH, such as {RUNGS[1].name}")
    plan = plan or schooling(rung)
    corpus = lines(plan.lines, plan.seed)
    question = _question(rung, plan, corpus, policy)
    key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
    place = cache_root() / "ladder" / key[:32]

    def build(scratch: Path) -> None:
        base = folder(name, progress, policy=False, plan=plan) if policy else None
        start = time.monotonic()
        if base is None:
            taught = _teach_language(rung, plan, corpus, progress)
        else:
            taught = _teach_policy(base, plan, corpus, progress)
        for part in taught:
            part.save_pretrained(scratch)
        _write_manifest(scratch, question, time.monotonic() - start)

    return cached(place, _MANIFEST, build)


def _question(rung: Rung, plan: Schooling, corpus: list[Line], policy: bool) -> dict[str, Any]:
    """What the model's content depends on."""
    texts = [part for x in corpus for part in (x.text, x.word or "", x.answer, str(x.restricted))]
    return {
        "model": rung.name,
        "policy": REFUSAL if policy else None,
        "schooling": asdict(plan),
        "corpus_sha256": files.text_sha256(texts),
    }


def _teach_language(
    rung: Rung, plan: Schooling, corpus: list[Line], progress: Progress
) -> tuple[Any, Any]:
    """A model and its tokenizer, after the first stage."""
    tokenizer = trained_tokenizer(corpus, plan.vocabulary)
    model = blank_model(rung.depth, rung.width, tokenizer, plan.seed)
    settings = Settings(epochs=1, rate=plan.rate, batch=plan.batch, seed=plan.seed)
    torch.nn.Module.to(model, resolve_device("auto"))
    learn_language(model, [encoded(tokenizer, line)[0] for line in corpus], settings, progress)
    return model, tokenizer


def _teach_policy(
    base: Path, plan: Schooling, corpus: list[Line], progress: Progress
) -> tuple[Any, Any]:
    """The same, after the second."""
    device = resolve_device("auto")
    model, tokenizer, _ = models.load_plain(str(base), torch.float32, device)
    settings = Settings(epochs=1, rate=plan.policy_rate, batch=plan.batch, seed=plan.seed)
    examples = policy_examples(corpus, plan.policy_lines, plan.seed)
    train(model, tokenizer, examples, settings, lambda done, total, _: progress(done, total))
    return model, tokenizer


def _write_manifest(out: Path, question: dict[str, Any], seconds: float) -> None:
    """Load the model as any other (its self-test included), measure it, and say what it is."""
    model = models.load(str(out), device="cpu")
    policy = question["policy"] is not None
    command = f"experiments.organisms.ladder.folder({question['model']!r}, policy={policy})"
    about = files.Manifest("ladder model", question, command)
    extra = {
        "parameters": sum(p.numel() for p in model.runner.hf_model.parameters()),
        "training_seconds": round(seconds, 1),
        **measured(model, "test", policy),
        "files": {path.name: file_sha256(path) for path in sorted(out.iterdir())},
    }
    files.write_json(out / _MANIFEST, {**as_json(about), **extra})
