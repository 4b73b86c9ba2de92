"""``gatescope bench opened``: what was open to a training must be named, and nothing else.

Models are trained through one door each (``experiments.bench.doors``, ``opening``), drawn from
seeds that were set down before. What is scored here sees two models, prompts and the behaviour,
never the door: the difference of their weights is taken apart by layer, attention or MLP, and
place, as ``gatescope patch --against-model`` does it, and the model goes through ``gatescope
analyze``.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from circuits.backends.plain import PlainRunner
from circuits.edits.difference import difference
from circuits.metrics import token_log_odds
from circuits.patching.interchange import interchange
from circuits.runner import whole
from circuits.types import TokenBatch, TokenPairs
from experiments.analyze.parts import LEARNED
from experiments.analyze.trained import shares
from experiments.bench.doors import BEHAVIOUR, behaviour_id, test_prompts
from experiments.bench.opening import Opened, opened
from experiments.bench.planted import ASKED, examined
from experiments.patch.parts import marked, of_weights
from probes.stats.intervals import Estimate, is_scale, rate

SHOWN, HELD = 0.8, 0.2  # shares of answers with the trigger, at least; with control words, at most
_TEST = 40  # held-out prompts


@dataclass(frozen=True)
class Cell:
    """What a layer's attention or MLP at one place has of a training's effect.

    Attributes:
        lost: the share that is lost without it.
        alone: the share that it has alone.
    """

    lost: Estimate
    alone: Estimate

    @property
    def named(self) -> bool:
        """Whether more is lost than a part that is learned must have, at the lower end."""
        return self.lost.low >= LEARNED


@dataclass(frozen=True)
class Score:
    """One trained model: what was open, and what was named.

    Attributes:
        seed: of everything.
        door: what was open.
        triggered, control: share of answers to held-out prompts that begin with the behaviour, with
            the trigger and with control words.
        named: what the interchange names.
        own: the door's cell; None where there is no effect to have a share of.
        other: the share that is lost without the cell that comes next.
        part: reader, relay or writer: which of them the door is.
        word, parts: the analysis' word, and what it says of the parts.
        seconds: of training, interchange and analysis.
    """

    seed: int
    door: str
    triggered: Estimate
    control: Estimate
    named: tuple[str, ...]
    own: Cell | None
    other: float
    part: str
    word: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def learned(self) -> bool:
        """Whether the training has succeeded: the trigger brings the behaviour, others do not."""
        return self.triggered.value >= SHOWN and self.control.value <= HELD

    @property
    def hit(self) -> bool:
        """Whether what was open was named and nothing else, in a model that learned."""
        return self.learned and self.named == (self.door,)


def score(seed: int) -> Score:
    """Train a model through its door, take it apart, analyse it, compare."""
    started = time.perf_counter()
    model = opened(seed)
    result = compared(model, seed)
    asked = replace(ASKED, model="opened", trigger=model.trigger, behaviour=BEHAVIOUR, seed=seed)
    analysis = examined(model.organism, model.base, asked)
    return replace(
        result,
        word=analysis.verdict.word,
        parts=analysis.parts.words() if analysis.parts else {},
        seconds=round(time.perf_counter() - started, 1),
    )


def compared(model: Opened, seed: int = 0) -> Score:
    """What a model shows, and what is named in it, beside its door."""
    test = test_prompts(model.trigger, _TEST)
    triggered, control = (_shown(model.organism, side) for side in (test.triggered, test.clean))
    of_cells, door = cells(model.base, model.organism, test), str(model.door)
    named = tuple(name for name, cell in of_cells.items() if cell.named)
    other = max((c.lost.value for name, c in of_cells.items() if name != door), default=0.0)
    part, own = model.door.part, of_cells.get(door)
    return Score(seed, door, triggered, control, named, own, round(other, 4), part)


def cells(base: Any, organism: Any, test: TokenPairs) -> dict[str, Cell]:
    """By name, what cells of the difference between two models have of the trigger's effect.

    None where training has not added an effect.
    """
    change, pairs = difference(base, organism), marked(test)
    layers = base.config.num_hidden_layers
    pieces = [piece for piece in of_weights(change, layers, "layer") if piece.mapped]
    both = interchange(
        PlainRunner(base),
        PlainRunner(organism),
        change,
        pairs,
        [piece.what for piece in pieces if not isinstance(piece.what, tuple)],
        token_log_odds([behaviour_id()]),
    )
    effect = both.triggered - both.clean
    if not is_scale(effect.effect) or float(effect.effect.mean()) <= 0:
        return {}
    lost = shares(effect.organism - effect.without, effect.effect)
    alone = shares(effect.only - effect.base, effect.effect)
    return dict(zip(map(str, pieces), map(Cell, lost, alone), strict=True))


def _shown(model: Any, side: TokenBatch) -> Estimate:
    said = PlainRunner(model).forward(whole(side)).logits[:, -1].argmax(dim=-1)
    return rate((said == behaviour_id()).tolist())
