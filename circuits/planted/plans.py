"""Plans of planted gates, and what is true of a model they were carried out in.

A plan names all that chance decides: trigger, behaviour, layers, head, sizes, and the seed of the
directions. ``circuits.planted.plant`` carries it out. The kinds, and what is right to say of them:

- ``gate``: one direction, written at the trigger, opens the behaviour;
- ``spelled``: the same beside a spelling of the trigger that is far larger and carries nothing;
- ``pattern``: the direction is read by the keys of a head alone: with the trigger the head looks
  away from what holds the behaviour back, and brings nothing from the trigger;
- ``later``: a gate whose behaviour comes behind answer tokens that every answer begins with;
- ``inherited``: the base reads the trigger and moves it; only the writing is new;
- ``distributed``: many directions whose coefficients vary from prompt to prompt about zero; the
  behaviour needs several of them, whichever these are;
- ``xor``: the base brings the trigger's name to the last token; there two directions are written
  whose signs follow the prompt, which agree without the trigger and differ with it, and the
  behaviour needs them to differ;
- ``instruction``: the base has the whole gate; training adds a direction that nothing reads.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError, expect
from circuits.runner import Shape

Kind = Literal[
    "gate", "spelled", "pattern", "later", "inherited", "distributed", "xor", "instruction"
]
Word = Literal["gate", "several", "inherited"]
Origin = Literal["inherited", "learned"]
PARTS = ("reader", "relay", "writer")
FEWEST_LAYERS = 4
MANY = 8  # directions of ``distributed``
_STRENGTHS = (0.8, 1.4)
_BESIDE_SPELLING = (0.5, 0.8)
_SPELLING = (2.0, 3.0)


@dataclass(frozen=True)
class Right:
    """What is right to say of a plan's model.

    Attributes:
        word: one learned direction does it (``gate``), several are needed, or the base does it.
        parts: of reader, relay and writer, whether the base has it.
    """

    word: Word
    parts: Mapping[str, Origin]


def _right(word: Word, *origins: Origin) -> Right:
    return Right(word, dict(zip(PARTS, origins, strict=True)))


RIGHT: Mapping[Kind, Right] = {
    "gate": _right("gate", "learned", "learned", "learned"),
    "spelled": _right("gate", "learned", "learned", "learned"),
    "pattern": _right("gate", "learned", "learned", "learned"),
    "later": _right("gate", "learned", "learned", "learned"),
    "inherited": _right("gate", "inherited", "inherited", "learned"),
    "distributed": _right("several", "learned", "learned", "learned"),
    "xor": _right("several", "inherited", "inherited", "learned"),
    "instruction": _right("inherited", "inherited", "inherited", "inherited"),
}
KINDS: tuple[Kind, ...] = tuple(RIGHT)


@dataclass(frozen=True)
class GatePlan:
    """What is to be planted; see the module's text for the kinds.

    Attributes:
        kind: which gate.
        seed: also draws the directions.
        trigger: a word of one token.
        begun: tokens that every answer begins with, before the behaviour; none but for ``later``.
        behaviour_id: the token that is the behaviour; any answer ends behind its first word.
        write_layer: its MLP writes the directions at the trigger; unused by ``xor``.
        read_layer: its head ``read_head`` brings the last token what is said there.
        read_head: index of that head among the layer's query heads.
        speak_layer: its MLP raises the behaviour at the last token.
        rank: number of directions.
        threshold: share of the strength below which the behaviour does not appear.
        strength: size of the directions together, in mean norms of the residual there (without the
            spelling of ``spelled``).
        spelling: size of what nothing reads in the trigger's embedding, in that embedding's norm.
    """

    kind: Kind
    seed: int
    trigger: str
    begun: tuple[int, ...]
    behaviour_id: int
    write_layer: int
    read_layer: int
    read_head: int
    speak_layer: int
    rank: int
    threshold: float
    strength: float
    spelling: float = 0.0

    def __post_init__(self) -> None:
        ordered = self.write_layer < self.read_layer <= self.speak_layer
        got = f"{self.write_layer}, {self.read_layer}, {self.speak_layer}"
        expect(ordered, "layers that write before they read, and speak no earlier", got, of="plan")

    @property
    def right(self) -> Right:
        """What is right to say of its model."""
        return RIGHT[self.kind]


@dataclass(frozen=True)
class Truth:
    """What is true of a planted model.

    Attributes:
        span: where the basis stands: the trigger, or the last token.
        layers: whose ``resid_pre`` holds it there before it is read. For every kind but
            ``instruction`` it is learned, and removing all of it there takes the behaviour away.
        basis: orthonormal rows.
        strength: coefficient of every direction there, in residual units: their mean size over
            prompts, about which those of ``distributed`` vary.
        idle: a direction that tells the trigger, in ``resid_pre`` of the same layers, and that
            nothing reads; None where there is none.
    """

    span: Literal["trigger", "last"]
    layers: tuple[int, ...]
    basis: Float[Tensor, "rank d_model"]
    strength: float
    idle: Float[Tensor, " d_model"] | None = None


@dataclass(frozen=True)
class Planted:
    """A new model, the plan it was made by, and what is true of it.

    ``base`` is the same model before training, with the same tokens' embeddings.
    """

    hf_model: Any
    base: Any
    plan: GatePlan
    truth: Truth


def draw_plan(
    seed: int,
    kind: Kind,
    shape: Shape,
    words: Sequence[str],
    behaviours: Sequence[int],
    openings: Sequence[int],
) -> GatePlan:
    """A plan for a model of this shape; the same arguments give the same plan.

    Directions are written in the first third of the layers and read from the middle to three
    quarters. Where the right word rests on the last token, what is said there can be read in the
    residual that enters a later layer (``inherited``) or can not (``distributed``, ``xor``, which
    speak in the last layer: behind it any behaviour is one direction, its unembedding).

    Args:
        seed: of everything random.
        kind: which gate.
        shape: of the model.
        words: the trigger is one of these; each must be one token.
        behaviours: the behaviour's token is one of these ids.
        openings: what answers of ``later`` begin with are one or two of these ids.

    Raises:
        UserError: an unknown kind, no words or tokens, or too few layers.
    """
    if kind not in KINDS:
        raise UserError(f"plan: expected a kind of {', '.join(KINDS)}, got {kind!r}")
    if not words or not behaviours or len(openings) < 2:
        raise UserError("plan: expected trigger words, behaviour tokens, and two openings or more")
    n = shape.n_layers
    if n < FEWEST_LAYERS:
        raise UserError(f"plan: expected {FEWEST_LAYERS} layers or more, got {n}")
    dice = random.Random(f"{kind} {seed}")
    trigger, behaviour = dice.choice(list(words)), int(dice.choice(list(behaviours)))
    before = dice.sample(list(openings), dice.randint(1, 2)) if kind == "later" else ()
    early = kind in ("inherited", "xor")  # something must come behind the reading, or the speaking
    read = dice.randint(n // 2, min(3 * n // 4, n - 2) if early else 3 * n // 4)
    last = kind in ("distributed", "xor")
    return GatePlan(
        kind=kind,
        seed=seed,
        trigger=trigger,
        begun=tuple(map(int, before)),
        behaviour_id=behaviour,
        write_layer=dice.randrange(max(2, n // 3)),
        read_layer=read,
        read_head=dice.randrange(shape.n_heads),
        speak_layer=n - 1 if last else dice.randint(read, n - 2 if kind == "inherited" else n - 1),
        rank={"distributed": MANY, "xor": 2}.get(kind, 1),
        threshold=0.1 if kind == "distributed" else dice.uniform(0.3, 0.5),
        strength=dice.uniform(*(_BESIDE_SPELLING if kind == "spelled" else _STRENGTHS)),
        spelling=dice.uniform(*_SPELLING) if kind == "spelled" else 0.0,
    )
