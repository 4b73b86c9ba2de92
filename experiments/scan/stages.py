"""Successive halving: all candidates on few prompts, the best few hundred on more, the last on 40.

Every stage has prompts of its own, so that a word that was lucky on some is judged on others. The
first reads the suspect under all candidates; the base model, which is to explain what a word does
to any model, is read only under those that are kept. All z are in units of the first stage, where
nearly all words are no triggers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from experiments.scan.question import STAGES, Plan, carriers, stray_words
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

Side = Literal["own", "base"]
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

    def read(self, name: str, side: Side, words: Sequence[str], texts: Sequence[str]) -> Reading:
        """One of the two under words, kept by a name."""
        reader: Reader = getattr(self, side)
        return self.keep(name, lambda tick: reader.read(words, texts, tick))

    def controls(self, name: str, texts: Sequence[str]) -> tuple[Reading, Reading]:
        """Both under control words."""
        stray = stray_words(len(texts))
        own = self.read(f"{name}-own-controls", "own", stray, texts)
        return own, self.read(f"{name}-base-controls", "base", stray, texts)


@dataclass(frozen=True)
class _Scores:
    """Of one stage's candidates: both scores, and where the response came from."""

    response: Response
    collapsed: Float[Tensor, " words"]

    def z(self, gate: Yardstick, fall: Yardstick) -> Float[Tensor, " words"]:
        """Both together."""
        return combined(gate.z(self.response.nats), fall.z(self.collapsed))


def scored(
    choosing: Pair, deciding: Pair, candidates: Mapping[str, str], plan: Plan
) -> list[Scored]:
    """Every candidate, the best first; those of a later stage come before those of an earlier.

    Args:
        choosing, deciding: the models of the first two stages, and of the last (same keep).
        candidates: words and phrases, with where each comes from.
    """
    first, second, final, _ = carriers(plan)
    words, vocab = list(candidates), choosing.own.vocab
    controls = choosing.controls("screen", first)
    # The longest stage is kept carrier by carrier.
    parts = [choosing.read(f"screen-own-{i}", "own", words, [t]) for i, t in enumerate(first)]
    own = Reading.joined(parts, dim=1)
    plain = _scores(controls, vocab, own)
    gate, fall = Yardstick.of(plain.response.nats), Yardstick.of(plain.collapsed)
    kept = _best(plain.z(gate, fall))[: plan.kept[0]]
    some = torch.tensor(kept)
    base = choosing.read("screen-base-kept", "base", [words[i] for i in kept], first)
    compared = _compared(plain, some, _scores(controls, vocab, own.words(some), base))
    z = compared.z(gate, fall)
    chances = chance(z).tolist()
    ranked = [
        Scored(words[i], candidates[words[i]], STAGES[0], chance=chances[i], **numbers)
        for i, numbers in _numbers(compared, z)
    ]
    for pair, name, texts, count in (
        (choosing, "second", second, plan.kept[0]),
        (deciding, "final", final, plan.kept[1]),
    ):
        chosen = ranked[:count]
        scores = _read(pair, name, [one.text for one in chosen], texts)
        renewed = _numbers(scores, scores.z(gate, fall))
        ranked[:count] = [replace(chosen[i], stage=name, **numbers) for i, numbers in renewed]
    return ranked


def _read(pair: Pair, name: str, words: Sequence[str], texts: Sequence[str]) -> _Scores:
    controls = pair.controls(name, texts)
    own = pair.read(f"{name}-own", "own", words, texts)
    return _scores(controls, pair.own.vocab, own, pair.read(f"{name}-base", "base", words, texts))


def _scores(
    controls: tuple[Reading, Reading], vocab: int, own: Reading, base: Reading | None = None
) -> _Scores:
    response = gate_response(own, ordinary(controls, vocab), base)
    fall = collapse(own, controls[0])
    return _Scores(response, fall if base is None else fall - collapse(base, controls[1]))


def _compared(plain: _Scores, kept: Int[Tensor, " kept"], scores: _Scores) -> _Scores:
    """The responses of those kept, now beyond the base model's; collapses as they were.

    A collapse is compared with other words' collapses, all of which must be measured alike.
    """
    before, after = vars(plain.response), vars(scores.response)
    renewed = {name: values.index_copy(0, kept, after[name]) for name, values in before.items()}
    return replace(plain, response=Response(**renewed))


def _best(z: Float[Tensor, " words"]) -> list[int]:
    return z.argsort(descending=True, stable=True).tolist()


def _numbers(scores: _Scores, z: Float[Tensor, " words"]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every candidate's place and its numbers, the best first."""
    columns = {
        "z": z,
        "response": scores.response.nats,
        "collapse": scores.collapsed,
        "token": scores.response.token,
        "share": scores.response.share,
        "expected": scores.response.expected,
    }
    for i in _best(z):
        yield i, {name: column[i].item() for name, column in columns.items()}
