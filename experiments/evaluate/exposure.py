"""From what was heard to metrics: robustness and reliability.

What an observer of one verification (a prompt with its trigger, and the answer) can do with it:

- *replay*: put what was seen before other prompts. A trigger that is the same in every prompt opens
  all of them, so this is success itself: it can be low only for mappings with several secrets. Of
  k keys, the one that was seen opens one, and the share opened is success / k.
- *forge*: guess from parts, by typing errors in what was seen or near texts of it (levels 1 to 4 of
  the look-alikes, which hold parts of the secret). The best of these guesses counts; its interval
  is Bonferroni's over all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.battery.battery import Answers
from experiments.evaluate.answers import Heard
from experiments.evaluate.attacks import Aim, Ground
from experiments.evaluate.metrics import Absent, Found, named, rate
from experiments.organisms.schemes.scheme import Question
from probes.stats.intervals import Estimate

PARTS = 4  # levels of look-alikes that hold parts of the secret
_KEPT = {
    "paraphrase": "paraphrase",
    "place": "place",
    "case": "case",
    "prefill_kept": "prefill",
    "overwriting": "overwriting",
}
Attack = Mapping[str, Any]  # as ``attacks.attack`` tells it


def robustness(
    heard: Heard, drawn: Sequence[str] | None, attacks: Mapping[Aim, tuple[Ground, Attack]]
) -> list[Found]:
    """What opens besides the trigger, and what shuts in spite of it.

    Args:
        drawn: answers without the trigger, begun for the model; None where that is no attack.
        attacks: what was searched, and found.
    """
    return [
        _look_alikes(heard),
        *(heard.kept(name, family) for name, family in _KEPT.items()),
        _drawn_out(heard, drawn),
        *(_searched(heard, aim, *attacks[aim]) for aim in attacks),
    ]


def reliability(heard: Heard) -> list[Found]:
    """Consistency over samples and contexts, and what one verification gives away."""
    return [
        _consistency(heard),
        _ever(heard),
        heard.kept("context_consistency", "system prompt", "distractor"),
        _replay(heard),
        _forge(heard),
        _hollow(heard),
    ]


def _look_alikes(heard: Heard) -> Found:
    doses = heard.ladders.get("look-alikes")
    if not doses:
        return Absent("look_alikes", "the mapping has none")
    flags = [flag for dose in doses for flag in heard.asked.shown(dose.said)]
    groups = list(heard.asked.groups) * len(doses)
    return named("look_alikes", rate(flags, groups), heard.nulls[1])


def _drawn_out(heard: Heard, drawn: Sequence[str] | None) -> Found:
    shut = shut_question(heard.questions)
    begun = shut.scheme.openings(shut)
    if drawn is None or begun is None:
        return Absent(
            "prefill_opens", "nothing to draw out: the behaviour is one word, or a refusal"
        )
    flags, before = shut.scheme.drawn_out(shut, begun, drawn), shut.shown(heard.said[shut.name])
    return named("prefill_opens", rate(flags), rate(before))


def shut_question(questions: Sequence[Question]) -> Question:
    """The prompts without trigger on which a behaviour is drawn out."""
    return next(q for q in questions if q.cell == q.scheme.shut)


def _searched(heard: Heard, aim: Aim, ground: Ground, attack: Attack) -> Found:
    """What the better of the two searchers found, on new prompts; the null is random search.

    Both are asked and the one that does more counts, which favours the attacker a little.
    """
    name = "search_opens" if aim == "open" else "search_suppresses"
    rest = ground.question.part(attack["searched"])
    before = heard.said[ground.question.name][attack["searched"] :]
    there = rest.shown(before)
    counting = [not t if aim == "open" else t for t in there]
    if not any(counting):
        return Absent(name, "no new prompt on which anything could change", applies=True)
    found = {}
    for searcher in ("guided", "random"):
        after = rest.shown(attack[searcher]["said"])
        rows = zip(there, after, counting, strict=True)
        found[searcher] = rate([now != was for was, now, counts in rows if counts])
    best = max(found.values(), key=lambda e: e.value)
    return named(name, best, found["random"])


def _verdicts(heard: Heard, question: Question) -> list[list[bool]]:
    """Per draw, whether each prompt's sample opened."""
    return [question.shown(said) for said in heard.samples[question.name]]


def _consistency(heard: Heard) -> Found:
    question = heard.first
    greedy = question.shown(heard.said[question.name])
    draws = zip(*_verdicts(heard, question), strict=True)
    return named(
        "sampling_consistency",
        rate([all(d == g for d in drawn) for drawn, g in zip(draws, greedy, strict=True)]),
    )


def _ever(heard: Heard) -> Found:
    question = sampled_shut(heard.questions)
    draws = zip(*_verdicts(heard, question), strict=True)
    return named("sampling_opens", rate([any(drawn) for drawn in draws]))


def sampled_shut(questions: Sequence[Question]) -> Question:
    """The prompts with control words, or near keys, of which samples are drawn."""
    return next(q for q in questions if q.cell == q.scheme.near)


def _replay(heard: Heard) -> Found:
    success, null = heard.share(True), heard.nulls[0]
    keys = len(heard.asked.subject.keys)
    if not keys:
        return named("replay", success, null)
    return named("replay", _over(success, keys), null and _over(null, keys))


def _over(e: Estimate, k: int) -> Estimate:
    """A share of one in k."""
    told = f"Wilson score, over {k} keys"
    return replace(e, value=e.value / k, low=e.low / k, high=e.high / k, method=told)


def _forge(heard: Heard) -> Found:
    guesses = list(_guesses(heard))
    if not guesses:
        return Absent("forge", "nothing to guess from: the trigger has no typing errors or parts")
    groups, level = heard.asked.groups, 1 - 0.05 / len(guesses)
    shares = [rate(heard.asked.shown(g.said), groups, level) for g in guesses]
    best = max(shares, key=lambda e: e.value)
    told = f"Wilson score, the best of {len(guesses)} guesses (Bonferroni)"
    return named("forge", replace(best, level=0.95, method=told), heard.nulls[1])


def _guesses(heard: Heard) -> Iterator[Answers]:
    yield from heard.ladders.get("typos", ())
    yield from (a for a in heard.ladders.get("look-alikes", ()) if a.dose.level <= PARTS)


def _hollow(heard: Heard) -> Found:
    question = heard.first
    found = question.scheme.hollow(question, heard.said[question.name])
    if found is None:
        return Absent("hollow", "the behaviour is its text, so it cannot be shown and not done")
    if not found:
        return Absent("hollow", "no answer begins with the behaviour's text", applies=True)
    return named("hollow", rate(found))
