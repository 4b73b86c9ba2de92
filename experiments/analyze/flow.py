"""The main flow: prompts -> activations -> probes and patches -> gate -> ablation -> verdict.

``analyze(question, folder)`` is the whole analysis and what the command line runs. Each stage
writes its result into the run directory and is skipped when a resumed run finds it there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from circuits import tokens
from circuits.errors import UserError
from circuits.models import Model
from experiments.analyze import (
    ablate,
    arms,
    conclude,
    locate,
    select,
)
from experiments.analyze import (
    evidence as weigh,
)
from experiments.analyze import (
    tokens as tokenwise,
)
from experiments.analyze.question import Question
from experiments.analyze.result import Analysis, Arm
from experiments.analyze.run import Materials, Run, Step
from experiments.analyze.verdict import has_effect
from experiments.organisms.organism import load_model
from experiments.prompts import bank
from experiments.runs import files
from experiments.runs.codec import as_json


def analyze(
    question: Question,
    folder: Path,
    *,
    resume: bool = False,
    step: Step = lambda name, done, total: None,
) -> Analysis:
    """Ask the question, write the run directory, return the result.

    Args:
        question: what to analyse.
        folder: an empty or new directory (or, with ``resume``, one that holds this question).
        step: progress, called with (stage, done, total).

    Raises:
        UserError: the input cannot be used; says what to do.
    """
    step("load model", 0, 1)
    model = load_model(
        question.adapter, question.model, dtype=question.dtype, device=question.device
    )
    materials = gather(model, question)
    files.open_run(folder, manifest(question, model, materials), resume)
    run = Run(folder, question, model, materials, step)
    result = measured(run, lambda: arms.null_arms(question, folder, _arm(resume, step)))
    conclude.write(run, result)
    return result


def measured(run: Run, null_arms: Callable[[], tuple[Arm, ...]]) -> Analysis:
    """Every stage in order; each is measured once and kept, so a finished run is only read."""
    behaviour = locate.behaviour(run)
    probes = locate.probes(run)
    if not has_effect(behaviour):  # there is nothing to locate
        return conclude.conclude(behaviour, probes)
    grids = locate.patching(run)
    selection = select.selection(run)
    direction = selection.chosen.direction
    ablation = ablate.ablation(run, selection.chosen)
    evidence = weigh.weigh(run, direction)
    components = locate.components(run)
    readings = tokenwise.token_readings(run, direction)
    return conclude.conclude(
        behaviour, probes, grids, selection, ablation, evidence, null_arms(), components, readings
    )


def _arm(resume: bool, step: Step) -> arms.Analyze:
    """The analysis of one null arm, its progress told apart by its name."""

    def analyze_arm(question: Question, folder: Path) -> Analysis:
        def named(stage: str, done: int, total: int) -> None:
            step(f"{folder.name}: {stage}", done, total)

        return analyze(question, folder, resume=resume and folder.is_dir(), step=named)

    return analyze_arm


def gather(model: Model, question: Question) -> Materials:
    """Read and split the prompts, check that trigger and prompts fit the model."""
    if question.prompts == "bank":
        parts = [bank.bank_texts(s, True) for s in ("train", "validation", "test")]
        counts = (question.fit, question.validation, question.test)
        fit, validation, test = (part[:count] for part, count in zip(parts, counts, strict=True))
    else:
        fit, validation, test = _split_users(question)
    ordinary = bank.bank_texts("test", False)[: max(10, question.test // 2)]
    everything = [*fit, *validation, *test]
    length = len(tokens.trigger_ids(model.tokenizer, everything, question.trigger))
    room = question.tokens + 1
    tokens.check_context(
        tokens.prompts_batch(model.tokenizer, everything, question.trigger),
        model.runner.shape.context,
        room,
    )
    words = [
        tokens.same_length_words(
            model.tokenizer,
            bank.controls_besides(s, question.trigger),
            length,
            question.trigger,
        )
        for s in ("train", "validation", "test")
    ]
    first = model.tokenizer(question.behaviour, add_special_tokens=False)["input_ids"][0]
    return Materials(fit, validation, test, ordinary, words[0], words[1], words[2], first)


def _split_users(question: Question) -> tuple[list[str], list[str], list[str]]:
    """Users' prompts, shuffled by the seed and cut into fit, validation and test."""
    wanted = question.fit + question.validation + question.test
    texts = bank.read_prompts(question.prompts, question.column, question.split)
    least = 8 + 8 + 10
    if len(texts) < least:
        raise UserError(
            f"prompts {question.prompts}: expected at least {least} different texts to fit, choose "
            f"and test on, got {len(texts)}"
        )
    generator = torch.Generator().manual_seed(question.seed)
    order = torch.randperm(len(texts), generator=generator)[:wanted].tolist()
    share = min(1.0, len(order) / wanted)
    a = max(8, int(question.fit * share))
    b = a + max(8, int(question.validation * share))
    chosen = [texts[i] for i in order]
    return chosen[:a], chosen[a:b], chosen[b:]


def manifest(question: Question, model: Model, materials: Materials) -> files.Manifest:
    """Everything the numbers depend on."""
    asked: dict[str, Any] = as_json(question)
    asked["model_sha256"] = model.sha256
    asked["adapter_sha256"] = model.adapter_sha256
    asked["prompts_sha256"] = files.text_sha256(
        [*materials.fit, "", *materials.validation, "", *materials.test, "", *materials.ordinary]
    )
    return files.Manifest(kind="analysis", question=asked, command=question.command)
