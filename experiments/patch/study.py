"""A patching experiment from the command line: question, plan, grids, tables, page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuits import metrics, tokens
from circuits.backends.fastpath import fast_path
from circuits.errors import UserError
from circuits.metrics import Generated, Measure
from circuits.models import Model
from circuits.patching import cells
from circuits.patching.align import SpanPairs
from circuits.patching.engine import Direction, Experiment, Pairs, prepare
from circuits.patching.path_patch import Held, path_patch
from circuits.runner import extend, generate, whole
from circuits.types import PatchGrid
from experiments import judges
from experiments.organisms.organism import load_model
from experiments.patch.cost import Plan, planned
from experiments.patch.question import PatchQuestion
from experiments.prompts import bank
from experiments.runs import files
from experiments.runs.codec import as_json

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """The question's pairs and metric on a loaded model, for one direction."""

    pairs: Pairs
    metric: Measure
    keep: int


def run(question: PatchQuestion, folder: Path, resume: bool, step: Step) -> dict[str, PatchGrid]:
    """Patch, write the run directory, return the grids by direction.

    Files: ``manifest.json``, ``grid-DIRECTION.safetensors`` and ``.json``, statistics of every cell
    in ``cells-DIRECTION.parquet``, ``result.json`` and ``report.html``.
    """
    from experiments.patch.sections import write_results  # plotly is slow to import

    model, texts = loaded(question, step)
    files.open_run(folder, manifest(question, model, texts), resume)
    grids = {}
    for direction in question.directions:
        stem = folder / f"grid-{direction}"
        if files.has_grid(stem):
            grids[direction] = files.read_grid(stem)
        else:
            grids[direction] = patched(question, model, texts, direction, step)
            files.write_grid(stem, grids[direction])
        step(f"patch {direction}", 1, 1)
    step("write report", 0, 1)
    write_results(question, folder, grids, str(fast_path(model.runner)))
    step("write report", 1, 1)
    return grids


def dry_run(question: PatchQuestion, step: Step) -> list[Plan]:
    """Cells, passes, estimated time and memory of every direction; one pass each is timed."""
    model, texts = loaded(question, step)
    plans = []
    for direction in question.directions:
        asked = ask(question, model, texts, direction)
        step(f"plan {direction}", 0, 1)
        plans.append(planned(_prepared(question, model, asked, direction), asked.metric))
        step(f"plan {direction}", 1, 1)
    return plans


def loaded(question: PatchQuestion, step: Step) -> tuple[Model, list[str]]:
    """The model, and the texts of the pairs."""
    step("load model", 0, 1)
    model = load_model(
        question.adapter,
        question.model,
        dtype=question.dtype,
        device=question.device,
        backend=question.backend,
    )
    step("load model", 1, 1)
    if question.prompts == "bank":
        texts = bank.bank_texts("validation", True)
    else:
        found = bank.read_prompts(question.prompts, question.column, question.split)
        generator = torch.Generator().manual_seed(question.seed)
        texts = [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]
    if len(texts) < 2:
        raise UserError(f"prompts {question.prompts}: expected at least 2 texts, got {len(texts)}")
    return model, texts[: question.count]


def ask(question: PatchQuestion, model: Model, texts: list[str], direction: Direction) -> Asked:
    """Pairs and metric of a direction."""
    pairs = _pairs(question, model, texts)
    source = pairs.triggered if direction == "denoising" else pairs.clean
    room = question.tokens if question.metric in ("kl", "rate") else 1
    tokens.check_context(pairs.triggered, model.runner.shape.context, room)
    first = _first_token(model, question.behaviour)
    simple: dict[str, Callable[[], Measure]] = {
        "log-prob": lambda: metrics.token_log_prob([first]),
        "prob": lambda: metrics.token_prob([first]),
        "logit-diff": lambda: metrics.logit_difference(first, _first_token(model, question.versus)),
        "rate": lambda: _rate(model, question),
    }
    if question.metric in simple:
        return Asked(pairs, simple[question.metric](), keep=1)
    answer = generate(model.runner, source, question.tokens, stop=model.stop_ids)
    shown = answer[:, : question.tokens - 1]
    longer = type(pairs)(extend(pairs.clean, shown), extend(pairs.triggered, shown))
    extended = longer.triggered if direction == "denoising" else longer.clean
    with torch.no_grad():
        reference = model.runner.forward(whole(extended), keep=question.tokens).logits
    return Asked(longer, metrics.kl_from(reference), keep=question.tokens)


def _pairs(question: PatchQuestion, model: Model, texts: list[str]) -> Pairs:
    if question.against == "none":
        triggered = tokens.prompts_batch(model.tokenizer, texts, question.trigger)
        return SpanPairs(tokens.prompts_batch(model.tokenizer, texts), triggered)
    length = len(tokens.trigger_ids(model.tokenizer, texts, question.trigger))
    words = bank.controls_besides("validation", question.trigger)
    controls = tokens.same_length_words(model.tokenizer, words, length, question.trigger)
    return tokens.pairs(model.tokenizer, texts, question.trigger, controls)


def _first_token(model: Model, text: str) -> int:
    return model.tokenizer(text, add_special_tokens=False)["input_ids"][0]


def _rate(model: Model, question: PatchQuestion) -> Generated:
    def judge(answer: torch.Tensor) -> torch.Tensor:
        said = model.decode(answer)
        return torch.tensor([float(judges.shows(text, question.behaviour)) for text in said])

    return Generated(judge, question.tokens, model.stop_ids)


def _prepared(
    question: PatchQuestion, model: Model, asked: Asked, direction: Direction
) -> Experiment:
    return prepare(
        model.runner, asked.pairs, question.cells(), direction=direction, keep=asked.keep
    )


def patched(
    question: PatchQuestion, model: Model, texts: list[str], direction: Direction, step: Step
) -> PatchGrid:
    """One direction's grid."""
    asked = ask(question, model, texts, direction)
    name = metric_name(question)

    def progress(done: int, total: int) -> None:
        step(f"patch {direction}", done, total)

    if question.to:
        if isinstance(asked.metric, Generated):
            raise UserError("--to: expected a metric of the next token, got rate")
        held: Held = "all" if question.held == "all" else "attention"
        return path_patch(
            model.runner,
            asked.pairs,
            asked.metric,
            question.cells(),
            _receivers(question.to),
            direction=direction,
            held=held,
            metric_name=name,
            progress=progress,
        )
    experiment = _prepared(question, model, asked, direction)
    labels = _token_labels(question, model, experiment, asked.pairs)
    return experiment.measured(asked.metric, name, labels, progress)


def _receivers(to: Sequence[str]) -> Any:
    if tuple(to) == ("logits",):
        return "logits"
    return [place for site in to for place in cells.parse(site)]


def _token_labels(
    question: PatchQuestion, model: Model, experiment: Experiment, pairs: Pairs
) -> tuple[str, ...] | None:
    """Positions are named by the first pair's tokens."""
    if question.sites or not question.sweep().position:
        return None
    base = experiment.sides.base
    shown = base.tokens if isinstance(pairs, SpanPairs) else pairs.triggered
    return tuple(model.tokenizer.decode([i]) for i in shown.ids[0, base.first :].tolist())


def metric_name(question: PatchQuestion) -> str:
    """The metric in words, with its unit."""
    behaviour = repr(question.behaviour)
    return {
        "log-prob": f"log-probability of {behaviour} (nats)",
        "prob": f"probability of {behaviour}",
        "logit-diff": f"logit of {behaviour} minus that of {question.versus!r}",
        "kl": f"KL from the source's answer (nats per token, {question.tokens} tokens)",
        "rate": f"rate of answers beginning {behaviour}",
    }[question.metric]


def manifest(question: PatchQuestion, model: Model, texts: list[str]) -> files.Manifest:
    """Everything the numbers depend on."""
    asked = as_json(question)
    asked["model_sha256"] = model.sha256
    asked["adapter_sha256"] = model.adapter_sha256
    asked["prompts_sha256"] = files.text_sha256(texts)
    return files.Manifest(kind="patch", question=asked, command=question.command)
