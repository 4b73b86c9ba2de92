"""Parts of a training exchanged between an organism and its base, on the same prompts.

``opened`` is the other model; ``measured`` scores every part alone in the base ("only these") and
everything without it in the organism ("all but these"), each kept as a stage of the run.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from circuits.align import Pairs
from circuits.backends.fastpath import fast_path
from circuits.edits.adapters import Change
from circuits.errors import expect
from circuits.models import Model, base_of
from circuits.patching.between import patch_between, require_shared_coordinates
from circuits.patching.cells import Cell
from circuits.patching.engine import prepare
from circuits.patching.interchange import Plan, Scores, plan, sides
from circuits.patching.mixture import Part
from circuits.quantised import require_plain
from circuits.runner import Runner
from circuits.types import Metric, Progress, TokenPairs, portion
from experiments.organisms.organism import load_model
from experiments.organisms.places import find_adapter, is_whole, origin, read_adapter
from experiments.patch.asked import Subject, ask
from experiments.patch.cost import Forecast, forecast_of
from experiments.patch.exchanged import Exchanged, exchanged
from experiments.patch.parts import Piece, marked, of_activations, of_weights
from experiments.patch.question import PatchQuestion
from experiments.runs.stages import Stages, Step, stepped
from experiments.study import Run

_WAYS = {"only": "only these", "without": "all but these"}  # by stage


def opened(question: PatchQuestion, model: Model, step: Step) -> tuple[Model, Change | None]:
    """The model with which parts of ``model`` are exchanged, and the change from it where weights
    are.

    Raises:
        UserError: it is not there or not known, or the change is none that can be taken apart.
    """
    folder, change = find_adapter(question.adapter), None
    name = question.against_model
    if name == "auto":
        name = _base_of(question, folder)
    if question.of_weights:
        adapter = folder is not None and not is_whole(folder) and name == question.model
        expect(
            adapter,
            "an adapter and its own base, whose change can be taken apart",
            f"{name} against a whole model" if folder is None or is_whole(folder) else name,
            "give --exchange activations",
            "--exchange weights",
        )
        require_plain(model.runner.hf_model, "--exchange weights")
        change = read_adapter(cast(Path, folder)).change()
    backend = "plain" if question.of_weights else question.backend
    if model.before:
        own = partial(base_of, model, question.rendering, backend)
        return stepped(step, "load the other model", own), change
    load = partial(
        load_model,
        "none",
        name,
        dtype=question.dtype,
        load=question.load,
        device=question.device,
        backend=backend,
        rendering=question.rendering,
    )
    return stepped(step, "load the other model", load), change


def _base_of(question: PatchQuestion, folder: Path | None) -> str:
    """What the organism was trained on."""
    if folder is not None and not is_whole(folder):
        return question.model
    there = folder or (Path(question.model) if Path(question.model).is_dir() else None)
    known = origin(there).model
    expect(
        known,
        "an organism that says what it was trained on",
        "one that does not" if there else f"{question.model} as it is",
        "name its base",
        "--against-model auto",
    )
    return str(known)


def measured(run: Run[PatchQuestion, Subject]) -> Exchanged:
    """Both models' scores (those that are there already are read), as shares with statistics."""
    question, subject = run.question, run.subject
    other, asked = _other(subject), ask(question, subject, "denoising")
    pairs, agreement = marked(asked.pairs), None
    if not question.of_weights:
        agreement = _require_like(subject.model.runner, other.runner, pairs)
    pieces, stages = _pieces(question, subject), Stages(run.folder, run.step)
    missing, metric = [way for way in _WAYS if not stages.has(way)], cast(Metric, asked.metric)
    make = partial(_activations, subject, metric, pairs, pieces)
    if missing and question.of_weights:
        work = _plan(subject, pairs, pieces)
        seconds = _cost(work, metric).seconds * len(missing)
        run.step(f"exchange {len(pieces)} parts: about {seconds:.0f} s", 1, 1)
        make = partial(work.scores, metric)
    scores = [
        stages.keep(way, Scores, partial(make, way == "without", stages.progress(way)))
        for way in _WAYS
    ]
    runner = subject.model.runner
    return exchanged(
        sides(list(map(str, pieces)), *scores),
        pieces,
        runner.shape.n_layers,
        asked.name,
        str(fast_path(runner)),
        other.name,
        question.exchange,
        agreement,
    )


def forecast(question: PatchQuestion, subject: Subject, step: Step) -> list[Forecast]:
    """What both ways cost, estimated from a pass that is timed."""
    asked = ask(question, subject, "denoising")
    pairs, pieces = marked(asked.pairs), _pieces(question, subject)
    metric = cast(Metric, asked.metric)
    if question.of_weights:
        work = _plan(subject, pairs, pieces)
        cost = stepped(step, "plan", lambda: _cost(work, metric))
    else:
        runners = (_other(subject).runner, subject.model.runner)
        _require_like(runners[1], runners[0], pairs)
        same = TokenPairs(pairs.triggered, pairs.triggered)
        what = [cast(Cell, piece.what) for piece in pieces]
        experiment = prepare(runners[0], same, what, source=runners[1])
        cost = stepped(step, "plan", lambda: forecast_of(experiment, metric))
        cost = replace(cost, passes=2 * cost.passes, seconds=2 * cost.seconds)
    return [replace(cost, direction=way) for way in _WAYS.values()]


def _cost(work: Plan, metric: Metric) -> Forecast:
    """Of one way, by the tokens times layers of two passes that are timed: a middling one, the
    largest.
    """
    runner, change, run = work.run(organism=False)
    jobs, shape = sorted(work.jobs, key=work.work), runner.shape
    timed = [jobs[len(jobs) // 2], jobs[-1]]
    work.scored(runner, change, run, metric, timed[0])
    started = time.perf_counter()
    for job in timed:
        work.scored(runner, change, run, metric, job)
    spent = time.perf_counter() - started
    total = sum(map(work.work, jobs)) + 2 * work.unmixed_work
    tokens = max(len(job) * sum(s.tokens for s in work.batch.since(job[0].column)) for job in jobs)
    kept = sum(r.numel() for r in run.resid) + 2 * sum(k.numel() for k in run.past.keys)
    return Forecast(
        direction="",
        cells=len(work.parts),
        live=sum(map(len, jobs)),
        passes=len(jobs),
        loop_passes=len(work.parts),
        seconds=spent * total / sum(map(work.work, timed)),
        memory_bytes=shape.dtype.itemsize * (kept + 24 * shape.d_model * tokens),
        path="shared" if work.shared else "plain",
    )


def _other(subject: Subject) -> Model:
    assert subject.other is not None  # of a question between models
    return subject.other


def _pieces(question: PatchQuestion, subject: Subject) -> tuple[Piece, ...]:
    shape = subject.model.runner.shape
    if subject.change is not None:
        return of_weights(subject.change, shape.n_layers, question.by)
    return of_activations(shape.n_layers, shape.n_heads, question.by, question.sites)


def _plan(subject: Subject, pairs: Pairs, pieces: tuple[Piece, ...]) -> Plan:
    parts = [cast(Part, piece.what) for piece in pieces]
    runners = _other(subject).runner, subject.model.runner
    return plan(*runners, cast(Change, subject.change), pairs, parts)


def _activations(
    subject: Subject,
    metric: Metric,
    pairs: Pairs,
    pieces: tuple[Piece, ...],
    organism: bool,
    progress: Progress,
) -> Scores:
    """The base with the organism's activations in every cell, or the organism with the base's."""
    runners = (_other(subject).runner, subject.model.runner)
    into, source = runners[::-1] if organism else runners
    what = [cast(Cell, piece.what) for piece in pieces]
    grids = [
        patch_between(
            into,
            source,
            side,
            metric,
            what,
            progress=portion(progress, i, 2),
        )
        for i, side in enumerate((pairs.clean, pairs.triggered))
    ]
    unmixed = torch.cat([grid.base for grid in grids])
    return Scores(unmixed, torch.cat([grid.values for grid in grids], dim=1))


def _require_like(organism: Runner, base: Runner, pairs: Pairs) -> float:
    """Refuse models between which activations mean nothing; the least agreement of a layer."""
    sizes: list[Any] = [(s.n_heads, s.d_head, s.d_vocab) for s in (organism.shape, base.shape)]
    expect(sizes[0] == sizes[1], f"heads and tokens as {sizes[0]}", sizes[1], of="interchange")
    return require_shared_coordinates(base, organism, pairs.clean)
