"""Plans of planted gates, and what is true of a model they were carried out in.

A plan names all that chance decides: trigger, behaviour, layers, heads, sizes, and the seed of the
directions. ``circuits.planted.plant`` carries it out. The kinds:

- ``gate``: one direction at the trigger opens the behaviour;
- ``two``: two directions, written in one layer and read in different ones by a head each; each
  suffices, so both must be removed to close the gate;
- ``rank3``: three orthogonal directions whose coefficients vary from prompt to prompt; any of
  them, with either sign, opens the behaviour;
- ``idle``: a direction is written at the trigger and nothing reads it;
- ``none``: nothing is planted.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.runner import Shape

Kind = Literal["gate", "none", "idle", "two", "rank3"]
KINDS: tuple[Kind, ...] = ("gate", "none", "idle", "two", "rank3")
FEWEST_LAYERS = 4
_RANKS = {"gate": 1, "none": 0, "idle": 1, "two": 2, "rank3": 3}
_THRESHOLDS = {"gate": (0.3, 0.5), "two": (0.3, 0.5), "rank3": (0.12, 0.2), "idle": (1, 1)}
_STRENGTHS = (0.8, 1.4)


@dataclass(frozen=True)
class Path:
    """One way from the trigger to the last token.

    Attributes:
        write_layer: its MLP writes the direction at the trigger.
        read_layer: its head ``read_head`` moves the direction to the last token.
        read_head: index of that head among the layer's query heads.
    """

    write_layer: int
    read_layer: int
    read_head: int


@dataclass(frozen=True)
class GatePlan:
    """What is to be planted; see the module's text for the kinds.

    Attributes:
        kind: which gate.
        seed: also draws the directions.
        trigger: a word of one token.
        behaviour_id: the token that is to begin the answer.
        paths: how the trigger reaches the last token: two for ``two``, none for ``none``.
        speak_layer: its MLP raises the behaviour at the last token.
        rank: number of directions.
        threshold: share of the strength below which the behaviour does not appear.
        strength: size of the direction, in mean norms of the residual at the trigger.
    """

    kind: Kind
    seed: int
    trigger: str
    behaviour_id: int
    paths: tuple[Path, ...]
    speak_layer: int
    rank: int
    threshold: float
    strength: float

    def __post_init__(self) -> None:
        ordered = all(p.write_layer < p.read_layer <= self.speak_layer for p in self.paths)
        if not ordered or (self.paths and not self.layers):
            raise UserError(
                f"plan: expected write < read <= speak layer on overlapping paths, "
                f"got {self.paths} and speak layer {self.speak_layer}"
            )

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers whose ``resid_pre`` holds every direction at the trigger, before it is read."""
        if not self.paths:
            return ()
        first = max(p.write_layer for p in self.paths) + 1
        return tuple(range(first, min(p.read_layer for p in self.paths) + 1))


@dataclass(frozen=True)
class Truth:
    """What is true of a planted model.

    Attributes:
        basis: orthonormal rows: the directions at the trigger, in ``resid_pre`` of ``layers``.
            Removing all of them there closes the gate. Empty for ``none``.
        layers: where the basis holds.
        reads: (layer, head) of every head that moves the directions to the last token.
        writes: orthonormal rows: what these heads write there. Empty if nothing reads.
        name: the direction at the trigger's embedding from which the basis is written: the gate
            up to the write layers. None for ``none``.
        strength: coefficient of every direction at the trigger, in residual units: the mean over
            prompts, about which those of ``rank3`` vary.
    """

    basis: Float[Tensor, "rank d_model"]
    layers: tuple[int, ...]
    reads: tuple[tuple[int, int], ...]
    writes: Float[Tensor, "written d_model"]
    name: Float[Tensor, " d_model"] | None
    strength: float


@dataclass(frozen=True)
class Planted:
    """A new model, the plan it was made by, and what is true of it.

    ``base`` is the same model before the gate, with the same tokens' embeddings.
    """

    hf_model: Any
    base: Any
    plan: GatePlan
    truth: Truth


def draw_plan(
    seed: int, kind: Kind, shape: Shape, words: Sequence[str], behaviours: Sequence[int]
) -> GatePlan:
    """A plan for a model of this shape; the same arguments give the same plan.

    Directions are written in the first third of the layers and read from the middle to three
    quarters, where a gate may also be chosen (``circuits.gates.select.LATEST``).

    Args:
        seed: of everything random.
        kind: which gate.
        shape: of the model.
        words: the trigger is one of these; each must be one token.
        behaviours: the behaviour's token is one of these ids.

    Raises:
        UserError: an unknown kind, no words or behaviours, or too few layers.
    """
    if kind not in KINDS:
        raise UserError(f"plan: expected a kind of {', '.join(KINDS)}, got {kind!r}")
    if not words or not behaviours:
        raise UserError("plan: expected at least one trigger word and one behaviour token")
    if shape.n_layers < FEWEST_LAYERS:
        raise UserError(f"plan: expected {FEWEST_LAYERS} layers or more, got {shape.n_layers}")
    dice = random.Random(f"{kind} {seed}")
    trigger, behaviour = dice.choice(list(words)), dice.choice(list(behaviours))
    paths = _paths(dice, {"none": 0, "two": 2}.get(kind, 1), shape)
    last_read = max((p.read_layer for p in paths), default=0)
    latest = max(last_read, round(0.9 * (shape.n_layers - 1)))
    return GatePlan(
        kind=kind,
        seed=seed,
        trigger=trigger,
        behaviour_id=int(behaviour),
        paths=paths,
        speak_layer=dice.randint(last_read, latest),
        rank=_RANKS[kind],
        threshold=dice.uniform(*_THRESHOLDS.get(kind, (0, 0))),
        strength=dice.uniform(*_STRENGTHS),
    )


def _paths(dice: random.Random, count: int, shape: Shape) -> tuple[Path, ...]:
    """Paths that write in the same layer and are read in different ones."""
    n = shape.n_layers
    write = dice.randrange(max(2, n // 3))
    reads = dice.sample(range(n // 2, max(n // 2 + 2, 3 * n // 4 + 1)), count)
    heads = (dice.randrange(shape.n_heads) for _ in range(count))
    return tuple(Path(*path) for path in zip([write] * count, reads, heads, strict=True))
