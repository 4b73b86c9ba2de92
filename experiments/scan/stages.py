"""Successive halving: all candidates on few prompts, the best few hundred on more, the last on 40.

Every stage has prompts of its own, so that a word that was lucky on some is judged on others. The
first reads the suspect under all candidates; the base model, which is to explain what a word does
to any model, is read only under those that are kept. All z are in units of the first stage, where
nearly all words are no triggers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.scan.candidates import Candidate
from experiments.scan.plan import STAGES, Plan, carriers, stray_words
from experiments.scan.reading import Reader, Tick
from probes.scanning import (
    Reading,
    Response,
    Yardstick,
    chance,
    collapse,
    combined,
    gate_response,
    ordinary,
)

Keep = Callable[[str, Callable[[Tick], Reading]], Reading]  # a reading by name, made or read


@dataclass(frozen=True)
class Scored:
    """A candidate's scores in the last stage that it came to.

    Attributes:
        stage: that stage.
        z: of both scores together, in units of the first stage's words.
        chance: that the best of all scanned words had such a first z, were it no trigger.
        response: the gate response, in nats per prompt.
        collapse: fall of the entropy beyond the base model's (in the first stage: in all), nats.
        token, share, expected: the most telling token's id, its share, and what was expected.
        opening: that token as text, where it is known.
    """

    text: str
    source: str
    stage: str
    z: float
    chance: float
    response: float
    collapse: float
    token: int
    share: float
    expected: float
    opening: str = ""


@dataclass(frozen=True)
class Pair:
    """The suspect and its base, and what keeps their readings."""

    own: Reader
    base: Reader
    keep: Keep


@dataclass(frozen=True)
class _Scores:
    """Of one stage's candidates: both scores, and where the response came from."""

    response: Response
    collapsed: Float[Tensor, " words"]


def scored(
    choosing: Pair, deciding: Pair, candidates: Sequence[Candidate], plan: Plan
) -> list[Scored]:
    """Every candidate, the best first; those of a later stage come before those of an earlier.

    Args:
        choosing, deciding: the models of the first two stages, and of the last (same keep).
    """
    first, second, final, _ = carriers(plan)
    words = [candidate.text for candidate in candidates]
    controls = _controls(choosing, "screen", first)
    own = _screened(choosing, words, first)
    plain = _scores(controls, choosing.own.vocab, own)
    gate, fall = Yardstick.of(plain.response.nats), Yardstick.of(plain.collapsed)
    kept = _best(_z(plain, gate, fall), plan.kept[0])
    some, vocab = [words[i] for i in kept], choosing.own.vocab
    base = choosing.keep("screen-base-kept", lambda tick: choosing.base.read(some, first, tick))
    compared = _compared(plain, kept, _scores(controls, vocab, _rows(own, kept), base))
    z = _z(compared, gate, fall)
    found = _records(candidates, compared, z, chance(z))
    for pair, name, texts, count in (
        (choosing, "second", second, plan.kept[0]),
        (deciding, "final", final, plan.kept[1]),
    ):
        chosen = found[:count]
        scores = _read(pair, name, [one.text for one in chosen], texts)
        renewed = _renewed(chosen, name, scores, _z(scores, gate, fall))
        found = [*renewed, *found[count:]]
    return found


def _screened(pair: Pair, words: Sequence[str], texts: Sequence[str]) -> Reading:
    """The longest stage is kept carrier by carrier."""
    return Reading.beside(
        [
            pair.keep(f"screen-own-{i}", lambda tick, text=text: pair.own.read(words, [text], tick))
            for i, text in enumerate(texts)
        ]
    )


def _controls(pair: Pair, name: str, texts: Sequence[str]) -> tuple[Reading, Reading]:
    """Suspect and base under control words."""
    stray = stray_words(len(texts))
    return (
        pair.keep(f"{name}-own-controls", lambda tick: pair.own.read(stray, texts, tick)),
        pair.keep(f"{name}-base-controls", lambda tick: pair.base.read(stray, texts, tick)),
    )


def _read(pair: Pair, name: str, words: Sequence[str], texts: Sequence[str]) -> _Scores:
    controls = _controls(pair, name, texts)
    own = pair.keep(f"{name}-own", lambda tick: pair.own.read(words, texts, tick))
    base = pair.keep(f"{name}-base", lambda tick: pair.base.read(words, texts, tick))
    return _scores(controls, pair.own.vocab, own, base)


def _scores(
    controls: tuple[Reading, Reading], vocab: int, own: Reading, base: Reading | None = None
) -> _Scores:
    response = gate_response(own, ordinary(controls, vocab), base)
    fall = collapse(own, controls[0])
    return _Scores(response, fall if base is None else fall - collapse(base, controls[1]))


def _compared(plain: _Scores, kept: Sequence[int], scores: _Scores) -> _Scores:
    """The responses of those kept, now beyond the base model's; collapses as they were.

    A collapse is compared with other words' collapses, all of which must be measured alike.
    """
    index = torch.tensor(kept)
    fields = ("nats", "token", "share", "expected")
    renewed = {
        name: getattr(plain.response, name).index_copy(0, index, getattr(scores.response, name))
        for name in fields
    }
    return replace(plain, response=Response(**renewed))


def _z(scores: _Scores, gate: Yardstick, fall: Yardstick) -> Float[Tensor, " words"]:
    return combined(gate.z(scores.response.nats), fall.z(scores.collapsed))


def _best(z: Float[Tensor, " words"], count: int) -> list[int]:
    return z.argsort(descending=True, stable=True)[:count].tolist()


def _rows(reading: Reading, kept: Sequence[int]) -> Reading:
    index = torch.tensor(kept)
    return Reading(reading.entropy[index], reading.ids[index], reading.probs[index])


def _records(
    candidates: Sequence[Candidate],
    scores: _Scores,
    z: Float[Tensor, " words"],
    chances: Float[Tensor, " words"],
) -> list[Scored]:
    """The first stage's records, the best first."""
    return [
        Scored(
            candidates[i].text,
            candidates[i].source,
            STAGES[0],
            chance=float(chances[i]),
            **_numbers(scores, z, i),
        )
        for i in _best(z, len(z))
    ]


def _renewed(
    chosen: Sequence[Scored], stage: str, scores: _Scores, z: Float[Tensor, " words"]
) -> list[Scored]:
    """The records of a later stage, the best first."""
    return [replace(chosen[i], stage=stage, **_numbers(scores, z, i)) for i in _best(z, len(z))]


def _numbers(scores: _Scores, z: Float[Tensor, " words"], i: int) -> dict[str, Any]:
    response = scores.response
    return {
        "z": float(z[i]),
        "response": float(response.nats[i]),
        "collapse": float(scores.collapsed[i]),
        "token": int(response.token[i]),
        "share": float(response.share[i]),
        "expected": float(response.expected[i]),
    }
