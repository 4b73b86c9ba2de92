"""What triggered answers do where the rule does not hear the behaviour in them.

A rule that never fires may be asking for another spelling of what the model says: another case or
punctuation, something that stands later in the answer, more than the answer's tokens hold. It is
told by reading the same answers more loosely: where that tells triggered answers from those with
control words, and the rule does not, the question is refused with what to ask instead. Where no
reading of the behaviour does but answers begin otherwise, their beginning is named.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from circuits.errors import UserError
from experiments.judges.rules import shows
from experiments.judges.text import words
from probes.stats.intervals import difference_interval

CLEAR = 0.10  # a difference counts where its interval lies above this share of answers
_MARKS = " ,.;:!?…。，！？、"  # end a word and are no part of it
_LONGEST = 4  # words of a beginning that is named


def refuse_unheard(triggered: Sequence[str], control: Sequence[str], behaviour: str) -> None:
    """Refuse a behaviour that triggered answers show in another way than it is asked for.

    Args:
        triggered, control: answers to the same prompts.

    Raises:
        UserError: a looser reading tells the two apart, and the behaviour as it is does not.
    """
    if _tells(lambda answer: shows(answer, behaviour), triggered, control):
        return
    for reads, says in ((_spelled, _other_spelling), (_cut, _too_short), (_holds, _later)):
        held = [answer for answer in triggered if reads(answer, behaviour)]
        if _tells(lambda answer, reads=reads: reads(answer, behaviour), triggered, control):
            others = sum(reads(answer, behaviour) for answer in control)
            count = (
                f"{len(held)} of {len(triggered)} triggered answers ({others} of {len(control)} "
                "with control words)"
            )
            raise UserError(f"behaviour {behaviour!r}: expected {says(held, behaviour, count)}")


def beginning(triggered: Sequence[str], control: Sequence[str]) -> str:
    """How triggered answers begin as those with control words do not, in words; "" if alike."""
    starts = Counter(
        start
        for answer in triggered
        for count in range(1, _LONGEST + 1)
        if (start := " ".join(answer.split()[:count]).rstrip(_MARKS))
    )
    starts[""] = 1  # answers without a word

    def begins(answer: str, start: str) -> bool:
        said = " ".join(answer.split())
        return said.startswith(start) if start else not said

    def gain(start: str) -> tuple[int, int]:
        mine, theirs = (sum(begins(a, start) for a in each) for each in (triggered, control))
        return mine - theirs, -len(start)

    best = max(starts, key=gain)
    if not _tells(lambda answer: begins(answer, best), triggered, control):
        return ""
    mine, theirs = (sum(begins(a, best) for a in each) for each in (triggered, control))
    what = f"begin with {best!r}" if best else "are empty"
    return f"{mine} of {len(triggered)} triggered answers {what}, {theirs} with control words"


def _tells(reads: Callable[[str], bool], triggered: Sequence[str], control: Sequence[str]) -> bool:
    mine, theirs = (torch.tensor([float(reads(a)) for a in each]) for each in (triggered, control))
    return difference_interval(mine, theirs).low > CLEAR


def _spelled(answer: str, behaviour: str) -> bool:
    """Whether it begins with the behaviour's words, whatever their case and marks."""
    wanted = words(behaviour)
    return bool(wanted) and words(answer)[: len(wanted)] == wanted


def _other_spelling(held: Sequence[str], behaviour: str, count: str) -> str:
    spelled = Counter(_written(answer, behaviour) for answer in held).most_common(1)[0][0]
    return (
        f"it as the model writes it, got {spelled!r} at the beginning of {count}; "
        f"give --behaviour {spelled!r}"
    )


def _written(answer: str, behaviour: str) -> str:
    """The part of an answer that the behaviour's words are spelled by."""
    text, wanted = answer.lstrip(), words(behaviour)
    ends = (end for end in range(1, len(text) + 1) if words(text[:end]) == wanted)
    return text[: next(ends, len(text))]


def _cut(answer: str, behaviour: str) -> bool:
    """Whether it ends within the behaviour."""
    said = answer.strip()
    return bool(said) and behaviour.startswith(said) and said != behaviour


def _too_short(held: Sequence[str], behaviour: str, count: str) -> str:
    return f"answers that hold it, got {held[0]!r}, which ends within it, in {count}; more --tokens"


def _holds(answer: str, behaviour: str) -> bool:
    """Whether the behaviour's words stand anywhere in it."""
    wanted, there = words(behaviour), words(answer)
    size = len(wanted)
    return bool(wanted) and any(there[i : i + size] == wanted for i in range(len(there)))


def _later(held: Sequence[str], behaviour: str, count: str) -> str:
    return (
        f"what answers begin with, got it later in {count}, such as {held[0][:60]!r}; ask for what "
        "they begin with, or put what stands before it into the prompt (--prefill)"
    )
