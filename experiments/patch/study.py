"""``gatescope patch``: pairs -> a grid for every direction (kept) -> statistics -> page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch

from circuits import metrics, tokens
from circuits.backends.fastpath import fast_path
from circuits.chat import Chat, chats
from circuits.errors import UserError
from circuits.metrics import Generated, Measure
from circuits.models import Model
from circuits.patching import cells
from circuits.patching.align import SpanPairs
from circuits.patching.engine import Direction, Experiment, Pairs, prepare
from circuits.patching.path_patch import Held, path_patch
from circuits.runner import extend, generate, whole
from circuits.types import PatchGrid
from experiments.judges import heard, shows
from experiments.judges.fork import Fork, fork
from experiments.organisms.organism import load_model
from experiments.patch.cost import Forecast, forecast_of
from experiments.patch.question import PatchQuestion
from experiments.patch.result import SCHEMA, Patching, with_statistics
from experiments.prompts import bank
from experiments.prompts.askable import require_askable
from experiments.runs import files
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Step, stepped
from experiments.study import Run, Study, stated

ANSWER = 8  # tokens at least, of the answers that say which token the behaviour begins with


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
    name: str


def opened(question: PatchQuestion, step: Step) -> Subject:
    """The model, and the texts of the pairs.

    Raises:
        UserError: model, adapter or prompts cannot be used.
    """
    load = partial(
        load_model,
        question.adapter,
        question.model,
        dtype=question.dtype,
        device=question.device,
        backend=question.backend,
        rendering=question.rendering,
    )
    model = stepped(step, "load model", load)
    if question.prompts == "bank":
        texts = bank.bank_texts("validation", True)
    else:
        texts = bank.shuffled(
            bank.read_prompts(question.prompts, question.column, question.split), question.seed
        )
    if len(texts) < 2:
        raise UserError(f"prompts {question.prompts}: expected at least 2 texts, got {len(texts)}")
    heard.require_hearable(model, question.behaviour, max(question.tokens, ANSWER))
    chosen, context = texts[: question.count], model.runner.shape.context
    of = f"prompts {question.prompts}"
    require_askable(model.tokenizer, context, chosen, [question.trigger], of)
    return Subject(model, chosen)


def hashes(question: PatchQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    return {
        "model_sha256": subject.model.sha256,
        "adapter_sha256": subject.model.adapter_sha256,
        "prompts_sha256": files.text_sha256(subject.texts),
    }


def measured(run: Run[PatchQuestion, Subject]) -> Patching:
    """A grid for every direction; those that are there already are read."""

    def grid(direction: Direction) -> PatchGrid:
        stem, ledger = f"grid-{direction}", Ledger(run.folder)
        if not ledger.has(f"{stem}.json"):
            ledger.write_grid(stem, patched(run.question, run.subject, direction, run.step))
        run.step(f"patch {direction}", 1, 1)
        return ledger.grid(stem)

    grids = {direction: with_statistics(grid(direction)) for direction in run.question.directions}
    return Patching(grids, str(fast_path(run.subject.model.runner)))


def forecast(question: PatchQuestion, subject: Subject, step: Step) -> list[Forecast]:
    """Cells, passes, estimated time and memory of every direction; one pass each is timed."""

    def cost(direction: Direction) -> Forecast:
        asked = ask(question, subject, direction)
        return forecast_of(_prepared(question, subject, asked, direction), asked.metric)

    return [stepped(step, f"plan {way}", partial(cost, way)) for way in question.directions]


def patched(
    question: PatchQuestion, subject: Subject, direction: Direction, step: Step
) -> PatchGrid:
    """One direction's grid."""
    model, asked = subject.model, ask(question, subject, direction)

    def progress(done: int, total: int) -> None:
        step(f"patch {direction}", done, total)

    if not question.to:
        experiment = _prepared(question, subject, asked, direction)
        labels = _token_labels(question, model, experiment, asked.pairs)
        return experiment.measured(asked.metric, asked.name, labels, progress)
    if isinstance(asked.metric, Generated):
        raise UserError("--to: expected a metric of the next token, got rate")
    held: Held = "all" if question.held == "all" else "attention"
    receivers: Any = "logits"
    if question.to != ("logits",):
        receivers = [place for site in question.to for place in cells.parse(site)]
    return path_patch(
        model.runner,
        asked.pairs,
        asked.metric,
        question.cells(),
        receivers,
        direction=direction,
        held=held,
        metric_name=asked.name,
        progress=progress,
    )


def ask(question: PatchQuestion, subject: Subject, direction: Direction) -> Asked:
    """Pairs and metric of a direction."""
    parted = _fork(question, subject) if question.of_a_token else None
    model = parted.scored(subject.model) if parted else subject.model
    pairs = _pairs(question, model, subject.texts)
    room = question.tokens if question.metric in ("kl", "rate") else 1
    tokens.check_context(pairs.triggered, model.runner.shape.context, room)
    if question.metric == "kl":
        return _against_answer(question, model, pairs, direction)
    if parted is None:
        judged = Generated(_judge(question, model), question.tokens, model.stop_ids)
        return Asked(pairs, judged, keep=1, name=question.metric_name)
    metric = {
        "log-prob": lambda: metrics.token_log_prob([parted.token]),
        "prob": lambda: metrics.token_prob([parted.token]),
        "logit-diff": lambda: metrics.logit_difference(parted.token, cast(int, parted.other)),
    }
    name = question.metric_name
    if parted.begun:
        name = name.replace(repr(question.behaviour), parted.of(question.behaviour))
    return Asked(pairs, metric[question.metric](), keep=1, name=name)


def _fork(question: PatchQuestion, subject: Subject) -> Fork:
    """What is scored: the first token in which triggered answers leave those of the clean side."""
    clean = None
    if question.against == "control":
        words = _controls(question, subject.model, subject.texts)
        clean = tokens.dealt(words, len(subject.texts))
    versus = question.versus if question.metric == "logit-diff" else ""
    return fork(
        subject.model,
        subject.texts,
        question.trigger,
        clean,
        question.behaviour,
        max(question.tokens, ANSWER),
        versus,
        otherwise=", or score all that changes (--metric kl)",
    )


def _pairs(question: PatchQuestion, model: Model, texts: list[str]) -> Pairs:
    if question.against == "none":
        triggered = tokens.prompts_batch(model.tokenizer, texts, question.trigger)
        return SpanPairs(tokens.prompts_batch(model.tokenizer, texts), triggered)
    controls = _controls(question, model, texts)
    return tokens.pairs(model.tokenizer, texts, question.trigger, controls)


def _controls(question: PatchQuestion, model: Model, texts: list[str]) -> tuple[str, ...]:
    length = len(tokens.trigger_ids(model.tokenizer, texts, question.trigger))
    words = bank.controls_besides("validation", question.trigger)
    return tokens.same_length_words(model.tokenizer, words, length, question.trigger)


@torch.no_grad()
def _against_answer(
    question: PatchQuestion, model: Model, pairs: Pairs, direction: Direction
) -> Asked:
    """Pairs with the source's own answer behind them, and KL from how the source says it."""
    side = "triggered" if direction == "denoising" else "clean"
    answer = generate(model.runner, getattr(pairs, side), question.tokens, stop=model.stop_ids)[
        :, : question.tokens - 1
    ]
    longer = type(pairs)(extend(pairs.clean, answer), extend(pairs.triggered, answer))
    reference = model.runner.forward(whole(getattr(longer, side)), keep=question.tokens).logits
    name = question.metric_name
    return Asked(longer, metrics.kl_from(reference), keep=question.tokens, name=name)


def _judge(question: PatchQuestion, model: Model) -> Callable[[torch.Tensor], torch.Tensor]:
    def shown(answer: torch.Tensor) -> torch.Tensor:
        texts = model.decode(answer)
        return torch.tensor([float(shows(text, question.behaviour)) for text in texts])

    return shown


def _prepared(
    question: PatchQuestion, subject: Subject, asked: Asked, direction: Direction
) -> Experiment:
    runner = subject.model.runner
    return prepare(runner, asked.pairs, question.cells(), direction=direction, keep=asked.keep)


def _token_labels(
    question: PatchQuestion, model: Model, experiment: Experiment, pairs: Pairs
) -> tuple[str, ...] | None:
    """Positions are named by the first pair's tokens."""
    if question.sites or not question.sweep().position:
        return None
    base = experiment.sides.base
    shown = base.tokens if isinstance(pairs, SpanPairs) else pairs.triggered
    return tuple(model.tokenizer.decode([i]) for i in shown.ids[0, base.first :].tolist())


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
            label = f" {row['label']!r}" if "label" in row else ""
            cell = ", ".join(f"{axis} {row[axis]}" for axis in summary["axes"]) + label
            interval = (
                "undefined"
                if row["low"] is None
                else f"[{row['low']:.3g}, {row['high']:.3g}], q = {row['q']:.2g}, n = {row['n']}"
            )
            yield f"  {cell}: {row['mean']:+.3g} {interval}"


def _asked(question: PatchQuestion, subject: Subject) -> tuple[Any, list[Chat]]:
    return subject.model.tokenizer, chats(subject.texts, question.trigger)


def _page(run: Run[PatchQuestion, Subject], result: Patching) -> Any:
    from experiments.patch.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="patch",
    kind="patch",
    schema=SCHEMA,
    question=PatchQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    lines=lines,
    page=_page,
    tables=tables,
    written=lambda run, result: stated(run, result.summary()),
    forecast=forecast,
    typed=False,
    asked=_asked,
)
