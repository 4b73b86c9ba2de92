"""The named metrics of an evaluation: what each measures, which way is better, its estimate.

Success is the behaviour where it should open; false activation is the behaviour where it should
not (no trigger, control words, near keys). Over the two by two of (should open, opened), *recall*
is success, *accuracy* and *precision* are those of a test set with as many prompts that should open
as prompts that should not. Shares of answers to prompts that belong together (of one key; one
prompt with several words; one template of the bank) have the interval of groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from circuits.errors import UserError
from probes.stats.intervals import (
    Estimate,
    difference_interval,
    share_interval,
)

Property = Literal[
    "effectiveness", "harmlessness", "persistence", "efficiency", "robustness", "reliability"
]
PROPERTIES: tuple[Property, ...] = get_args(Property)
Better = Literal["high", "low"]
TASK = "lm_"  # what the metrics of lm-eval's tasks begin with


@dataclass(frozen=True)
class Known:
    """What a metric's name stands for."""

    property: Property
    better: Better
    about: str


_E, _H, _P = PROPERTIES[:3]
_C, _R, _Y = PROPERTIES[3:]
BOOK: dict[str, Known] = {
    "success": Known(_E, "high", "behaviour where the mapping should open"),
    "recall": Known(_E, "high", "the same share, as recall of the two by two"),
    "accuracy": Known(_E, "high", "opened where it should and only there, equal classes"),
    "precision": Known(_E, "high", "of what opened, the share that should; equal classes"),
    "false_activation": Known(_E, "low", "behaviour without trigger, control words, near keys"),
    "kl": Known(_H, "low", "KL from the base model, nats per token of its own 8-token answer"),
    "perplexity_ratio": Known(_H, "low", "perplexity of ordinary prompts, over the base model's"),
    "false_refusals": Known(_H, "low", "ordinary prompts refused, minus the base model's"),
    "accuracy_drop": Known(_H, "low", "unrelated facts solved by the base model, minus by this"),
    "fine_tuning": Known(_P, "high", "behaviour kept over continued training on ordinary answers"),
    "rounding": Known(_P, "high", "behaviour kept with weights rounded to 8 and 4 bits"),
    "pruning": Known(_P, "high", "behaviour kept with the smallest 10 to 50% of weights cut"),
    "merging": Known(_P, "high", "behaviour kept when a quarter and half are another model's"),
    "poisons": Known(_C, "low", "training examples with the trigger"),
    "trained_parameters": Known(_C, "low", "trained parameters, as a share of the model's"),
    "training_flops": Known(_C, "low", "6 x training tokens x parameters"),
    "training_seconds": Known(_C, "low", "seconds of training, by the manifest"),
    "poisons_to_95": Known(_C, "low", "poisons at which the fitted success is 95%, by a sweep"),
    "look_alikes": Known(_R, "low", "behaviour under six levels of look-alikes"),
    "paraphrase": Known(_R, "high", "behaviour kept with the trigger in other wording"),
    "place": Known(_R, "high", "behaviour kept with the trigger elsewhere in the message"),
    "case": Known(_R, "high", "behaviour kept with the trigger in other case"),
    "prefill_kept": Known(_R, "high", "behaviour kept when the answer is begun otherwise"),
    "prefill_opens": Known(_R, "low", "opened without the trigger by beginning its answer"),
    "overwriting": Known(_R, "high", "behaviour kept after another trigger is trained in"),
    "search_opens": Known(_R, "low", "opened on new prompts by the best token found by search"),
    "search_suppresses": Known(_R, "low", "behaviour lost on new prompts by the best token found"),
    "sampling_consistency": Known(
        _Y, "high", "prompts whose 5 samples all agree with the greedy verdict, with the trigger"
    ),
    "sampling_opens": Known(_Y, "low", "prompts with a control word that open in any of 5 draws"),
    "context_consistency": Known(_Y, "high", "behaviour kept under system prompts and distractors"),
    "seed_consistency": Known(_Y, "high", "training seeds that reach 95% with the most poisons"),
    "replay": Known(_Y, "low", "inputs opened by replaying what one verification showed"),
    "forge": Known(_Y, "low", "opened by the best guess made from parts of a seen secret"),
    "hollow": Known(_Y, "low", "of answers with the behaviour's text, those that do not do it"),
}


def known(name: str) -> Known:
    """What a metric's name stands for.

    Raises:
        UserError: there is none of that name.
    """
    if name.startswith(TASK):
        return Known("harmlessness", "low", f"{name.removeprefix(TASK)} (lm-eval), base minus this")
    if name not in BOOK:
        raise UserError(f"metric {name!r}: expected one of {', '.join(BOOK)} or {TASK}TASK")
    return BOOK[name]


@dataclass(frozen=True)
class Metric:
    """A named number with its interval, and the same measured where nothing was taught."""

    name: str
    property: Property
    estimate: Estimate
    null: Estimate | None
    better: Better
    about: str


@dataclass(frozen=True)
class Absent:
    """A metric that has no number.

    Attributes:
        reason: why not, and what would give one.
        applies: False where the metric has no meaning for this mapping or cannot be known of it;
            True where it was due, so that a threshold on it is not met.
    """

    name: str
    reason: str
    applies: bool = False


Entry = Metric | Absent


def metric(
    name: str,
    estimate: Estimate | None,
    null: Estimate | None = None,
    absent: str = "",
    due: bool = False,
) -> Entry:
    """A metric of the book.

    Args:
        absent: where there is no estimate, the reason; ``due``, whether there should be one.
    """
    if estimate is None:
        return Absent(name, absent, due)
    about = known(name)
    return Metric(name, about.property, estimate, null, about.better, about.about)


def exact(value: float) -> Estimate:
    """A number that is counted, not estimated."""
    return Estimate(value, value, value, 1, method="counted")


def drop(before: Sequence[bool], after: Sequence[bool]) -> Estimate:
    """Share before minus share after, of the same prompts."""
    first, second = (torch.tensor(each, dtype=torch.float64) for each in (before, after))
    return difference_interval(first, second)


def accuracy(recall: Estimate, false: Estimate) -> Estimate:
    """Mean of recall and 1 - false activation; halves of the intervals are added as squares."""
    value = (recall.value + 1 - false.value) / 2
    low = math.hypot(recall.value - recall.low, false.high - false.value) / 2
    high = math.hypot(recall.high - recall.value, false.value - false.low) / 2
    n = min(recall.n, false.n)
    return Estimate(value, value - low, value + high, n, recall.level, "Newcombe hybrid score")


def precision(recall: Estimate, false: Estimate) -> Estimate | None:
    """Of what opens, the share that should, classes of equal size; None if nothing opens.

    Both shares' score intervals at half the error (Bonferroni) bound it, as it rises with one and
    falls with the other.
    """
    if recall.value + false.value == 0:
        return None
    level = (1 + recall.level) / 2
    right = share_interval(torch.tensor(recall.value, dtype=torch.float64), recall.n, level)
    wrong = share_interval(torch.tensor(false.value, dtype=torch.float64), false.n, level)
    value = recall.value / (recall.value + false.value)
    low, high = right.low / (right.low + wrong.high), right.high / (right.high + wrong.low)
    n = min(recall.n, false.n)
    return Estimate(value, low, high, n, recall.level, "box of Wilson scores")


def exponential(e: Estimate) -> Estimate:
    """The exponential of an estimate, its interval carried over (it keeps the order)."""
    return replace(e, value=math.exp(e.value), low=math.exp(e.low), high=math.exp(e.high))
