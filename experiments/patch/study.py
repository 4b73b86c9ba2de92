"""``gatescope patch``: pairs -> a grid for every direction (kept) -> statistics -> page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from experiments.patch.beside import JOINT
from experiments.patch.cost import Forecast, forecast_of
from experiments.patch.question import PatchQuestion
from experiments.patch.result import SCHEMA, Patching, with_statistics
from experiments.patch.sections import page
from experiments.prompts import bank
from experiments.runs import files
from experiments.runs.stages import Step
from experiments.study import Run, Study, stated


@dataclass(frozen=True, eq=False)
class Subject:
    """The model, and the texts of the pairs."""

    model: Model
    texts: list[str]


@dataclass(frozen=True)
class Asked:
    """The question's pairs and metric on a loaded model, for one direction."""

    pairs: Pairs
    metric: Measure
    keep: int


def measured(run: Run[PatchQuestion, Subject]) -> Patching:
    """A grid for every direction; those that are there already are read."""
    return Patching(
        {
            direction: with_statistics(_grid(run, direction))
            for direction in run.question.directions
        },
        str(fast_path(run.subject.model.runner)),
    )


def _grid(run: Run[PatchQuestion, Subject], direction: Direction) -> PatchGrid:
    stem = run.folder / f"grid-{direction}"
    if not files.has_grid(stem):
        grid = patched(run.question, run.subject, direction, run.step)
        files.write_grid(stem, grid)
    run.step(f"patch {direction}", 1, 1)
    return files.read_grid(stem)


def forecast(question: PatchQuestion, subject: Subject, step: Step) -> list[Forecast]:
    """Cells, passes, estimated time and memory of every direction; one pass each is timed."""
    costs = []
    for direction in question.directions:
        asked = ask(question, subject, direction)
        step(f"plan {direction}", 0, 1)
        experiment = _prepared(question, subject.model, asked, direction)
        costs.append(forecast_of(experiment, asked.metric))
        step(f"plan {direction}", 1, 1)
    return costs


def opened(question: PatchQuestion, step: Step) -> Subject:
    """The model, and the texts of the pairs.

    Raises:
        UserError: model, adapter or prompts cannot be used.
    """
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
    return Subject(model, texts[: question.count])


def ask(question: PatchQuestion, subject: Subject, direction: Direction) -> Asked:
    """Pairs and metric of a direction."""
    model = subject.model
    pairs = _pairs(question, model, subject.texts)
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
    question: PatchQuestion, subject: Subject, direction: Direction, step: Step
) -> PatchGrid:
    """One direction's grid."""
    model, asked = subject.model, ask(question, subject, direction)
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


def hashes(question: PatchQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    return {
        "model_sha256": subject.model.sha256,
        "adapter_sha256": subject.model.adapter_sha256,
        "prompts_sha256": files.text_sha256(subject.texts),
    }


def summary(run: Run[PatchQuestion, Subject], result: Patching) -> dict[str, Any]:
    """The result file: of each direction the levels and the strongest cells."""
    grids = {name: direction.summary() for name, direction in result.directions.items()}
    return stated(run, {"path": result.path, "grids": grids})


def tables(run: Run[PatchQuestion, Subject], result: Patching) -> dict[str, Any]:
    """Statistics of every cell."""
    each = result.directions.items()
    return {f"cells-{name}": direction.table.to_dict("records") for name, direction in each}


def lines(result: Patching) -> Iterator[str]:
    """The strongest cells of every direction."""
    for name, direction in result.directions.items():
        summary = direction.summary()
        yield f"{name}: {summary['metric']}, {summary['base']:.3g} to {summary['source']:.3g}"
        for row in summary["strongest"][:5]:
            yield f"  {_cell(row, summary['axes'])}: {row['mean']:+.3g} {_interval(row)}"


def _cell(row: dict[str, Any], axes: list[str]) -> str:
    label = f" {row['label']!r}" if "label" in row else ""
    return ", ".join(f"{axis} {row[axis]}" for axis in axes) + label


def _interval(row: dict[str, Any]) -> str:
    low, high, q = row["low"], row["high"], row["q"]
    if low is None:
        return "undefined"
    return f"[{low:.3g}, {high:.3g}], q = {q:.2g}, n = {row['n']}"


STUDY = Study(
    name="patch",
    kind="patch",
    schema=SCHEMA,
    question=PatchQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    page=lambda run, result: page(run.question, result, run.command),
    joint=JOINT,
    lines=lines,
    tables=tables,
    written=summary,
    forecast=forecast,
    typed=False,
)
