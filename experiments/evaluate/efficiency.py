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
from circuits.errors import UserError
from circuits.tokens import render
from experiments.evaluate.metrics import Absent, Found, exact, named, rate
from experiments.organisms.examples import BASE_ANSWER_TOKENS, controls_for, examples
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example
from probes.budget.analysis import analyse
from probes.budget.result import Series
from probes.stats.intervals import Estimate

REACHED = 0.95
_UNKNOWN = "the training is not known: nothing says what the model was made from"
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
        made = examples(recipe, number, lambda texts: [cut] * len(texts), words)
        total += stage.settings.epochs * sum(_tokens(tokenizer, e, cut) for e in made)
    return total


def _tokens(tokenizer: Any, example: Example, cut: str) -> int:
    prompt = len(render(tokenizer, Chat(example.text, word=example.word)).ids)
    own = example.answer.removesuffix(cut)
    answer = len(tokenizer(own, add_special_tokens=False)["input_ids"]) if own else 0
    return prompt + answer + BASE_ANSWER_TOKENS * (own != example.answer) + example.ends


def efficiency(found: Cost, sweep: Path | None = None) -> list[Found]:
    """The metrics of cost; those that a sweep would give only with its table.

    Raises:
        UserError: the table cannot be read, or holds several series.
    """
    flops = None if found.tokens is None else 6.0 * found.tokens * found.parameters
    share = None if found.trained is None else found.trained / found.parameters
    counted: list[Found] = [
        _counted("poisons", found.poisons),
        _counted("trained_parameters", share),
        _counted("training_flops", flops),
        named("training_seconds", exact(found.seconds))
        if found.seconds is not None
        else Absent("training_seconds", "not measured: the manifest has no time of training"),
    ]
    return counted + (
        _swept(sweep)
        if sweep
        else [Absent("poisons_to_95", _NO_SWEEP), Absent("seed_consistency", _NO_SWEEP)]
    )


def _counted(name: str, value: float | None) -> Found:
    return Absent(name, _UNKNOWN) if value is None else named(name, exact(value))


def _swept(path: Path) -> list[Found]:
    """What a sweep's table of one series says."""
    if not path.is_file():
        raise UserError(f"--sweep {path}: no such file; give a sweep's table (Parquet)")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"--sweep {path}: expected a Parquet table, got: {error}") from error
    series = analyse(table).series
    if len(series) != 1:
        names = "; ".join(s.name for s in series)
        raise UserError(
            f"--sweep {path}: expected one series (one model, one size), got "
            f"{len(series)}: {names}; keep the rows of one"
        )
    return [_to_95(series[0]), _seeds(series[0])]


def _to_95(series: Series) -> Found:
    outcome = series.outcome("shown")
    if outcome is None or outcome.fit is None:
        return Absent("poisons_to_95", "not measured: the sweep has too few counts of poisons")
    found = outcome.fit.count95
    ends = (found.low, found.value, found.high)
    if found.beyond or found.low_open or found.high_open or not all(map(math.isfinite, ends)):
        return Absent("poisons_to_95", f"outside what the sweep tried: {found}")
    plain = Estimate(found.value, found.low, found.high, found.n, found.level, found.method)
    return named("poisons_to_95", plain)


def _seeds(series: Series) -> Found:
    outcome = series.outcome("shown")
    assert outcome is not None  # every series has how often the behaviour was shown
    most = max(poisons for poisons, *_ in outcome.answers)
    reached = [shown >= REACHED * n for poisons, shown, n, _ in outcome.answers if poisons == most]
    return named("seed_consistency", rate(reached))
