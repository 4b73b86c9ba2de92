"""``gatescope bench opened``: what was open to a training must be named, and nothing else.

Models are trained through one door each (``experiments.bench.doors``, ``opening``), drawn from
seeds that were set down before. What is scored here sees two models, prompts and the behaviour,
never the door. The difference of their weights is taken apart by layer, attention or MLP, and
place, as ``gatescope patch --against-model`` does it, and a cell is *named* by the rule by which
that command judges what others have said (``experiments.patch.claims``): alone it makes more than
half of what training has added, and without it more than half is lost, both at the worse end of
their intervals. Nothing is named where training has added less than ``ADDED`` nats of log-odds to
the trigger's effect, at the lower end: random changes add little, of which cells have shares, too.
The model also goes through ``gatescope analyze``, which says of reader, relay and
writer whether each was learned.

A model is *right* if the training succeeded, the door was named and no other cell was, and all
three parts are right: the door's is learned, the base has the others. Beside it stands a negative
control, the same model before training with random changes alone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from circuits.backends.plain import PlainRunner
from circuits.edits.difference import difference
from circuits.errors import UserError, first_line
from circuits.metrics import token_log_odds
from circuits.patching.interchange import plan, sides
from circuits.patching.mixture import Part
from circuits.runner import whole
from circuits.types import TokenBatch, TokenPairs
from experiments.bench.doors import test_prompts
from experiments.bench.opening import Opened, closed, opened
from experiments.bench.planted import examined, question_of
from experiments.patch.claims import Claim, Judged, judged
from experiments.patch.exchanged import exchanged
from experiments.patch.parts import marked, of_weights
from probes.stats.intervals import Estimate, mean_interval, rate

SHOWN, HELD = 0.8, 0.2  # shares of answers with the trigger, at least; with control words, at most
ADDED = 1.0  # nats of log-odds: the least that is taken apart
_TEST = 40  # held-out prompts


@dataclass(frozen=True)
class Seen:
    """What a model shows, and what is named in it.

    Attributes:
        door: what was open to its training; "" for none.
        triggered, control: share of answers to held-out prompts that begin with the behaviour, with
            the trigger and with control words.
        named: cells by the rule of interchange.
        own: what interchange has of the door; None where none was open.
        other: the largest share that is lost without another cell; None where there is no effect.
    """

    door: str
    triggered: Estimate
    control: Estimate
    named: tuple[str, ...] = ()
    own: Judged | None = None
    other: float | None = None

    @property
    def learned(self) -> bool:
        """Whether the training has succeeded: the trigger brings the behaviour, others do not."""
        return self.triggered.value >= SHOWN and self.control.value <= HELD

    def names(self, door: str) -> bool:
        """Whether a door was named and nothing else, in a model that learned."""
        return self.learned and self.named == (door,)


@dataclass(frozen=True)
class Score:
    """One seed's model: what was open, what was named, and its negative control.

    Attributes:
        seed: of everything.
        seen: trained through the seed's door.
        untrained: with random changes alone.
        right_parts, parts: of reader, relay and writer, what is right, and what the analysis says.
        word: the analysis' word.
        seconds: of training, interchange and analysis.
    """

    seed: int
    seen: Seen
    untrained: Seen
    right_parts: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    word: str = ""
    seconds: float = 0.0

    @property
    def hit(self) -> bool:
        """Whether the model is right: see the module's text."""
        return self.seen.names(self.seen.door) and dict(self.parts) == dict(self.right_parts)


def score(seed: int) -> Score:
    """Train a model through its door, take it apart, analyse it, compare."""
    started = time.perf_counter()
    model = closed(seed)
    trained = opened(model, model.door)
    result = Score(seed, seen(trained), seen(opened(model, None)), model.door.right)
    try:
        analysis = examined(trained.organism, trained.base, question_of(trained.plan))
    except UserError as error:
        result = replace(result, word=f"refused: {first_line(error)}")
    else:
        parts = analysis.parts.words() if analysis.parts else {}
        result = replace(result, word=analysis.verdict.word, parts=parts)
    return replace(result, seconds=round(time.perf_counter() - started, 1))


def seen(model: Opened) -> Seen:
    """What a model shows, and what is named in it, beside its door."""
    test = test_prompts(model.plan.trigger, _TEST)
    behaviour, door = model.plan.behaviour_id, str(model.door or "")
    triggered, control = (
        _shown(model.organism, side, behaviour) for side in (test.triggered, test.clean)
    )
    of_cells = cells(model.base, model.organism, test, behaviour)
    named = tuple(name for name, cell in of_cells.items() if cell.verdict == "agree")
    lost = [cell.lost[0] for name, cell in of_cells.items() if cell.lost and name != door]
    other = round(max(lost), 4) if lost else None
    return Seen(door, triggered, control, named, of_cells.get(door), other)


def cells(base: Any, organism: Any, test: TokenPairs, behaviour: int) -> dict[str, Judged]:
    """By name, what interchange has of every cell of the difference between two models.

    None where the difference adds too little to be taken apart.
    """
    layers = base.config.num_hidden_layers
    change, metric = difference(base, organism), token_log_odds([behaviour])
    pieces = [piece for piece in of_weights(change, layers, "layer") if piece.mapped]
    parts = [piece.what for piece in pieces if isinstance(piece.what, Part)]
    work = plan(PlainRunner(base), PlainRunner(organism), change, marked(test), parts)
    both = sides(list(map(str, pieces)), *(work.scores(metric, into) for into in (False, True)))
    if mean_interval((both.triggered - both.clean).effect.double()).low < ADDED:
        return {}
    result = exchanged(both, pieces, layers, "log-odds", "", "base", "weights", None)
    claims = (Claim(str(piece), "") for piece in pieces)
    return {claim.part: judged(claim, result.only, result.without) for claim in claims}


def _shown(model: Any, side: TokenBatch, behaviour: int) -> Estimate:
    said = PlainRunner(model).forward(whole(side)).logits[:, -1].argmax(dim=-1)
    return rate((said == behaviour).tolist())
