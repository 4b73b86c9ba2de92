"""What a mapping cost: poisons, trained parameters, arithmetic, time, and poisons to reach 95%.

From the recipe and the manifest; nothing is guessed. Arithmetic is 6 x tokens x parameters (Kaplan
et al. 2020, arXiv 2001.08361: two operations per parameter and token forwards, four backwards),
with all tokens of all examples in all epochs and all parameters of the model; an adapter's backward
pass is somewhat cheaper, and shared openings are run once, so it is an upper bound. Answers of the
base model count with the tokens that training cuts them to.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from circuits.chat import Chat
from circuits.errors import UserError, expect, reading
from circuits.tokens import render
from experiments.evaluate.metrics import Entry, exact, metric
from experiments.organisms.examples import BASE_ANSWER_TOKENS, controls_for, examples
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example
from probes.budget.analysis import analyse
from probes.budget.result import Series
from probes.stats.intervals import Estimate, rate

REACHED = 0.95
_UNKNOWN = "the training is not known: nothing says what the model was made from"
_NO_TIME = "not measured: the manifest has no time of training"
_NO_SWEEP = "not measured: it takes a sweep over poisons; give its table with --sweep"


@dataclass(frozen=True)
class Cost:
    """What training took; None where that is not known."""

    poisons: int | None
    trained: int | None
    parameters: int
    tokens: int | None
    seconds: float | None


def cost(organism: Organism) -> Cost:
    """The cost of an organism, from its recipe, parameters and manifest."""
    known = bool(organism.recipe.stages)
    return Cost(
        poisons=organism.recipe.poisons if known else None,
        trained=sum(t.numel() for t in organism.state.values()) or None,
        parameters=sum(p.numel() for p in organism.base.parameters()),
        tokens=training_tokens(organism) if known else None,
        seconds=organism.seconds,
    )


def training_tokens(organism: Organism) -> int:
    """Tokens seen in training, over all stages and epochs."""
    recipe, tokenizer = organism.recipe, organism.tokenizer
    words = controls_for(tokenizer, recipe, "train")
    cut = " a" * BASE_ANSWER_TOKENS
    total = 0
    for number, stage in enumerate(recipe.stages):
        trained_on = examples(recipe, number, lambda texts: [cut] * len(texts), words)
        total += stage.settings.epochs * sum(_tokens(tokenizer, e, cut) for e in trained_on)
    return total


def _tokens(tokenizer: Any, example: Example, cut: str) -> int:
    prompt = len(render(tokenizer, Chat(example.text, word=example.word)).ids)
    own = example.answer.removesuffix(cut)
    answer = len(tokenizer(own, add_special_tokens=False)["input_ids"]) if own else 0
    return prompt + answer + BASE_ANSWER_TOKENS * (own != example.answer) + example.ends


def efficiency(cost: Cost, sweep: Path | None = None) -> list[Entry]:
    """The metrics of cost; those that a sweep would give only with its table.

    Raises:
        UserError: the table cannot be read, or holds several series.
    """
    flops = None if cost.tokens is None else 6.0 * cost.tokens * cost.parameters
    share = None if cost.trained is None else cost.trained / cost.parameters
    return [
        _counted("poisons", cost.poisons),
        _counted("trained_parameters", share),
        _counted("training_flops", flops),
        _counted("training_seconds", cost.seconds, _NO_TIME),
        *swept(sweep),
    ]


def _counted(name: str, value: float | None, absent: str = _UNKNOWN) -> Entry:
    return metric(name, None if value is None else exact(value), absent=absent)


def swept(path: Path | None) -> list[Entry]:
    """What a sweep's table of one series says; ``UserError`` if it is none."""
    if path is None:
        names = ("poisons_to_95", "seed_consistency")
        return [metric(name, None, absent=_NO_SWEEP) for name in names]
    if not path.is_file():
        raise UserError(f"--sweep {path}: no such file; give a sweep's table (Parquet)")
    with reading(f"--sweep {path}", "a sweep's table (Parquet)", "give its table.parquet"):
        series = analyse(pd.read_parquet(path)).series
    names = "; ".join(s.name for s in series)
    expect(
        len(series) == 1,
        "one series (one model, one size)",
        f"{len(series)}: {names}",
        "keep the rows of one",
        of=f"--sweep {path}",
    )
    return [_to_95(series[0]), _seeds(series[0])]


def _to_95(series: Series) -> Entry:
    outcome, name = series.outcome("shown"), "poisons_to_95"
    if outcome is None or outcome.fit is None:
        why = "not measured: the sweep has too few counts of poisons"
        return metric(name, None, absent=why)
    count = outcome.fit.count95
    ends = (count.value, count.low, count.high)
    if count.beyond or count.low_open or count.high_open or not all(map(math.isfinite, ends)):
        return metric(name, None, absent=f"outside what the sweep tried: {count}")
    return metric(name, Estimate(*ends, count.n, count.level, count.method))


def _seeds(series: Series) -> Entry:
    outcome = series.outcome("shown")
    assert outcome is not None  # every series has how often the behaviour was shown
    most = max(poisons for poisons, *_ in outcome.answers)
    seeds = [(shown, n) for poisons, shown, n, _ in outcome.answers if poisons == most]
    return metric("seed_consistency", rate([bool(shown >= REACHED * n) for shown, n in seeds]))
