"""``gatescope patch``: pairs -> a grid for every direction (kept) -> statistics -> page."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from circuits.align import Pairs, SpanPairs
from circuits.backends.fastpath import fast_path
from circuits.chat import Chat, chats
from circuits.errors import UserError
from circuits.metrics import Generated
from circuits.models import Model
from circuits.patching import cells
from circuits.patching.engine import Direction, Experiment, prepare
from circuits.patching.path_patch import Held, path_patch
from circuits.triggers import parse
from circuits.types import PatchGrid
from experiments.judges import heard
from experiments.judges.criterion import criterion
from experiments.organisms.organism import load_model
from experiments.patch import exchange, exchanged
from experiments.patch.asked import ANSWER, UNEQUAL, Asked, Subject, ask, controls
from experiments.patch.cost import Forecast, forecast_of
from experiments.patch.question import PatchQuestion
from experiments.patch.result import SCHEMA, Patching, with_statistics
from experiments.prompts import bank
from experiments.prompts.askable import require_askable
from experiments.runs import files
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Step, stepped
from experiments.runs.terminal import tell
from experiments.study import Run, Study, stated


def opened(question: PatchQuestion, step: Step) -> Subject:
    """The model, and the texts of the pairs.

    Raises:
        UserError: model, adapter or prompts cannot be used.
    """
    behaviour = criterion(question.behaviour, own=True)
    load = partial(
        load_model,
        question.adapter,
        question.model,
        dtype=question.dtype,
        load=question.load,
        device=question.device,
        backend="plain" if question.of_weights else question.backend,
        rendering=question.rendering,
        with_base=question.against_model == "auto",
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
    heard.require_judged(model, behaviour, max(question.tokens, ANSWER))
    chosen, context = texts[: question.count], model.runner.shape.context
    of = f"prompts {question.prompts}"
    trigger = parse(question.trigger)
    named = list(dict.fromkeys((*trigger.parts, *trigger.forms)))
    require_askable(model.tokenizer, context, chosen, named, of)
    if question.against == "control" and not controls(question, model, chosen).equal:
        tell(UNEQUAL)
    if not question.against_model:
        return Subject(model, chosen)
    return Subject(model, chosen, *exchange.opened(question, model, step))


def hashes(question: PatchQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    return {
        "model_sha256": subject.model.sha256,
        "adapter_sha256": subject.model.adapter_sha256,
        "prompts_sha256": files.text_sha256(subject.texts),
        **({"judge_sha256": judge} if (judge := _judge(question)) else {}),
        **({"against_sha256": subject.other.sha256} if subject.other else {}),
    }


def _judge(question: PatchQuestion) -> str:
    """Hash of a user's own judge."""
    return criterion(question.behaviour, own=True).sha256


def measured(run: Run[PatchQuestion, Subject]) -> Patching:
    """A grid for every direction; those that are there already are read."""
    if run.question.against_model:
        result = exchange.measured(run)
        for direction, of in result.directions.items():
            Ledger(run.folder).write_grid(f"grid-{direction}", of.grid)
        return result

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
    if question.against_model:
        return exchange.forecast(question, subject, step)

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
    """The strongest cells of every direction; between models, what carries the training first."""
    if isinstance(result, exchanged.Exchanged):
        yield from exchanged.lines(result)
        return
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
    words = parse(question.trigger).dealt(len(subject.texts))
    return subject.model.tokenizer, chats(subject.texts, words)


def _page(run: Run[PatchQuestion, Subject], result: Patching) -> Any:
    from experiments.patch import between_sections, sections  # plotly is slow to import

    if isinstance(result, exchanged.Exchanged):
        return between_sections.page(run, result)
    return sections.page(run, result)


STUDY = Study(
    name="patch",
    kind="patch",
    schema=SCHEMA,
    question=PatchQuestion,
    open=opened,
    identity=hashes,
    recorded=PatchQuestion.recorded,
    measure=measured,
    lines=lines,
    page=_page,
    tables=tables,
    written=lambda run, result: stated(run, result.summary()),
    forecast=forecast,
    typed=False,
    asked=_asked,
)
