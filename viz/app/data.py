"""What the app's page shows, as plain records."""

from dataclasses import dataclass

from circuits.types import PatchGrid

# What may be asked: of the last three the least and the most.
STREAMS = ("resid_pre", "attn_out", "mlp_out", "z")
MOST_CHARACTERS = 2000
COEFFICIENTS, LENGTHS, PAIRS = (-1.0, 3.0), (1, 64), (2, 24)


@dataclass(frozen=True)
class Token:
    """A token and its numbers.

    Attributes:
        text: untrusted.
        reading: projection on the gate's direction, 0 at the clean mean and 1 at the triggered
            mean; None where it is not read (yet).
        prob: with which an answer's token was chosen.
    """

    text: str
    reading: float | None = None
    prob: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A next token with its probability as the model is and as edited."""

    text: str
    plain: float
    edited: float


@dataclass(frozen=True)
class Answer:
    """The unedited answer and, if there is an edit, the edited one.

    Attributes:
        prompts: the message's and template's tokens, per answer.
        answers: the answers' tokens so far.
        choices: the likeliest candidates at every step.
        ended: which answers are complete.
        edited: whether there is an edit at all.
    """

    prompts: tuple[tuple[Token, ...], ...]
    answers: tuple[tuple[Token, ...], ...]
    choices: tuple[tuple[Candidate, ...], ...]
    ended: tuple[bool, ...]
    edited: bool


@dataclass(frozen=True)
class Patching:
    """How far a patching run is, and its grid when it is there."""

    done: int
    total: int
    texts: tuple[str, ...]
    grid: PatchGrid | None = None


@dataclass(frozen=True)
class ArmAnswer:
    """One arm's first-token distribution, largest reading in the prompt, and answer."""

    name: str
    status: str = "waiting"
    choices: tuple[Candidate, ...] = ()
    peak: float | None = None
    text: str = ""


@dataclass(frozen=True)
class About:
    """What is served, for the page's head and controls.

    Attributes:
        title, headline: untrusted text.
        gate: where the direction is read; empty without one.
        proven: whether an analysis proved it.
        trigger, control: words in the trigger's place; empty where none is known.
        grids: names of the run's grids.
        layers: that have a direction; ``layer`` is the gate's own.
    """

    title: str
    headline: str
    gate: str
    proven: bool
    trigger: str
    control: str
    examples: tuple[str, ...]
    grids: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    layer: int = 0
