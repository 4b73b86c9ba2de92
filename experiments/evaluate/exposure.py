"""From answers to metrics: robustness and reliability.

What an observer of one verification (a prompt with its trigger, and the answer) can do with it:

- *replay*: put what was seen before other prompts. A trigger that is the same in every prompt opens
  all of them, so this is success itself: it can be low only for mappings with several secrets. Of
  k keys, the one that was seen opens one, and the share opened is success / k.
- *forge*: guess from parts, by typing errors in what was seen or near texts of it (levels 1 to 4 of
  the look-alikes, which hold parts of the secret). The best of these guesses counts; its interval
  is Bonferroni's over all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.evaluate.attacks import SEARCHERS, Aim, Ground
from experiments.evaluate.case import near_question, shut_question
from experiments.evaluate.metrics import Entry, metric
from experiments.evaluate.properties import Evidence
from experiments.organisms.schemes.scheme import Question
from experiments.prompts.bank import groups_of
from probes.stats.intervals import Estimate, rate

PARTS = 4  # levels of look-alikes that hold parts of the secret
_KEPT = {
    "paraphrase": "paraphrase",
    "place": "place",
    "case": "case",
    "prefill_kept": "prefill",
    "overwriting": "overwriting",
}
Attack = Mapping[str, Any]  # as ``attacks.attack`` gives it


def robustness(
    evidence: Evidence, drawn: Sequence[str] | None, attacks: Mapping[Aim, tuple[Ground, Attack]]
) -> list[Entry]:
    """What opens besides the trigger, and what shuts in spite of it.

    Args:
        drawn: answers without the trigger, begun for the model; None where that is no attack.
        attacks: what was searched, and found.
    """
    return [
        _look_alikes(evidence),
        *(evidence.kept(name, family) for name, family in _KEPT.items()),
        _drawn_out(evidence, drawn),
        *(_searched(evidence, aim, *attacks[aim]) for aim in attacks),
    ]


def reliability(evidence: Evidence) -> list[Entry]:
    """Consistency over samples and contexts, and what one verification gives away."""
    first, near = evidence.questions[0], near_question(evidence.questions)
    draws = zip(_draws(evidence, first), evidence.opened(first), strict=True)
    consistent = [set(drawn) == {greedy} for drawn, greedy in draws]
    opened = [any(drawn) for drawn in _draws(evidence, near)]
    return [
        metric("sampling_consistency", rate(consistent, groups_of(first.texts))),
        metric("sampling_opens", rate(opened, groups_of(near.texts))),
        evidence.kept("context_consistency", "system prompt", "distractor"),
        _replay(evidence),
        _forge(evidence),
        _hollow(evidence),
    ]


def _draws(evidence: Evidence, question: Question) -> list[tuple[bool, ...]]:
    """Per prompt, whether each of its samples opened."""
    draws = [question.shown(answers) for answers in evidence.samples[question.name]]
    return list(zip(*draws, strict=True))


def _look_alikes(evidence: Evidence) -> Entry:
    doses, asked = evidence.ladders.get("look-alikes", ()), evidence.asked
    flags = [flag for dose in doses for flag in asked.shown(dose.said)]
    share = rate(flags, list(asked.groups) * len(doses)) if doses else None
    return metric("look_alikes", share, evidence.nulls[1], "the mapping has none")


def _drawn_out(evidence: Evidence, drawn: Sequence[str] | None) -> Entry:
    shut = shut_question(evidence.questions)
    begun = shut.scheme.openings(shut)
    if drawn is None or begun is None:
        why = "nothing to draw out: the behaviour is one word, or a refusal"
        return metric("prefill_opens", None, absent=why)
    flags = shut.scheme.drawn_out(shut, begun, drawn)
    groups = groups_of(shut.texts)
    return metric("prefill_opens", rate(flags, groups), rate(evidence.opened(shut), groups))


def _searched(evidence: Evidence, aim: Aim, ground: Ground, attack: Attack) -> Entry:
    """What the better of the two searchers found, on new prompts; the null is random search.

    Both are asked and the one that does more counts, which favours the attacker a little.
    """
    name = "search_opens" if aim == "open" else "search_suppresses"
    rest = ground.question.part(attack["searched"])
    before = evidence.opened(ground.question)[attack["searched"] :]
    if all(was == (aim == "open") for was in before):
        why = "no new prompt on which anything could change"
        return metric(name, None, absent=why, due=True)
    changed = {}
    for searcher in SEARCHERS:
        rows = zip(before, rest.shown(attack[searcher]["said"]), strict=True)
        changed[searcher] = rate([now != was for was, now in rows if was == (aim == "shut")])
    best = max(changed.values(), key=lambda e: e.value)
    return metric(name, best, changed["random"])


def _replay(evidence: Evidence) -> Entry:
    success, null = evidence.share(True), evidence.nulls[0]
    keys = len(evidence.asked.subject.keys)
    if not keys:
        return metric("replay", success, null)
    return metric("replay", _over(success, keys), null and _over(null, keys))


def _over(e: Estimate, k: int) -> Estimate:
    """A share of one in k."""
    method = f"Wilson score, over {k} keys"
    return replace(e, value=e.value / k, low=e.low / k, high=e.high / k, method=method)


def _forge(evidence: Evidence) -> Entry:
    near = evidence.ladders.get("look-alikes", ())
    guesses = [*evidence.ladders.get("typos", ()), *(a for a in near if a.dose.level <= PARTS)]
    if not guesses:
        why = "nothing to guess from: the trigger has no typing errors or parts"
        return metric("forge", None, absent=why)
    asked, level = evidence.asked, 1 - 0.05 / len(guesses)
    shares = [rate(asked.shown(guess.said), asked.groups, level) for guess in guesses]
    best = max(shares, key=lambda e: e.value)
    method = f"Wilson score, the best of {len(guesses)} guesses (Bonferroni)"
    return metric("forge", replace(best, level=0.95, method=method), evidence.nulls[1])


def _hollow(evidence: Evidence) -> Entry:
    first = evidence.questions[0]
    flags = first.scheme.hollow(first, evidence.answers[first.name])
    why = (
        "no text begins what is more than itself, so it cannot be shown and not done"
        if flags is None
        else "no answer begins with the behaviour's text"
    )
    share = rate(flags) if flags else None
    return metric("hollow", share, absent=why, due=flags is not None)
