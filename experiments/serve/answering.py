"""An answer beside the edited one, token by token."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from circuits import tokens
from circuits.errors import expect
from circuits.gates import select
from circuits.models import Model
from circuits.stream import Step, stream
from circuits.types import MESSAGE, Direction, Edit, TokenBatch
from experiments.serve.subject import Subject
from viz.app.data import COEFFICIENTS, LENGTHS, MOST_CHARACTERS, Answer, Candidate, Token

_TOP = 8
Word = Literal["trigger", "control", "none"]


@dataclass(frozen=True)
class Asked:
    """What a tab asks.

    Attributes:
        text: the user's message, without the word at its end.
        word: what stands in the trigger's place.
        coefficient: of the gate's component; 1 is the model as it is, 0 the gate shut.
        opened: whether the trigger's mean shift is added at the gate's site.
        length: answer tokens at most.
        layer: whose direction is read and edited; None is the gate's own.
    """

    text: str
    word: Word = "none"
    coefficient: float = 1.0
    opened: bool = False
    length: int = 24
    layer: int | None = None

    def __post_init__(self) -> None:
        (low, high), (short, long) = COEFFICIENTS, LENGTHS
        size, most = len(self.text), MOST_CHARACTERS
        expect(self.text.strip(), "a message", "nothing", "type one", of="prompt")
        expect(size <= most, f"at most {most} characters", size, of="prompt")
        expect(
            low <= self.coefficient <= high,
            f"{low:g} to {high:g}",
            self.coefficient,
            of="coefficient",
        )
        expect(short <= self.length <= long, f"{short} to {long}", self.length, of="length")


def batch_of(subject: Subject, model: Model, asked: Asked) -> TokenBatch:
    """The prompt's tokens, with the word that was asked for."""
    words = {"trigger": subject.trigger, "control": subject.control, "none": None}
    word = words[asked.word] if subject.has_trigger else None
    batch = tokens.prompts_batch(model.tokenizer, [subject.prompt(asked.text.strip())], word)
    tokens.check_context(batch, model.runner.shape.context, asked.length + 1)
    return batch


def edits_of(direction: Direction | None, batch: TokenBatch, asked: Asked) -> list[Edit]:
    """The edits of the second answer; none where it is the model as it is.

    Where the prompt has no word in the trigger's place, the shift is added at the message's end.
    """
    if direction is None:
        return []
    edits = select.scaled(direction, batch, asked.coefficient)
    if asked.opened:
        site = direction.site
        there = site if site.span in batch.spans else replace(site, span="last_user")
        edits += select.openings(replace(direction, site=there), batch)
    return edits


@dataclass
class _Row:
    """An answer as it grows; a token's reading comes with the pass after it."""

    ids: list[int] = field(default_factory=list)
    probs: list[float] = field(default_factory=list)
    readings: list[float | None] = field(default_factory=list)
    ended: bool = False

    def tokens(self, tokenizer: Any) -> tuple[Token, ...]:
        readings = [*self.readings, None]
        return tuple(map(Token, pieces(tokenizer, self.ids), readings, self.probs))


def answering(subject: Subject, asked: Asked) -> Generator[Answer, None, None]:
    """Both answers, growing by a token each time."""
    model, direction = subject.model, subject.at(asked.layer)
    batch = batch_of(subject, model, asked)
    edits = edits_of(direction, batch, asked)
    first = int(batch.spans[MESSAGE][0].nonzero()[0])
    prompt = pieces(model.tokenizer, batch.ids[0, first:].tolist())
    rows = [_Row() for _ in range(2 if edits else 1)]
    prompts: tuple[tuple[Token, ...], ...] = ()
    choices: tuple[tuple[Candidate, ...], ...] = ()
    for number, step in enumerate(stream(model.runner, batch, edits, direction, model.stop_ids)):
        probs = step.logits.softmax(dim=-1)
        readings = _shares(direction, step, batch.width)
        if number == 0:
            prompts = tuple(tuple(map(Token, prompt, row[first:])) for row in readings)
        if number < asked.length:  # the last pass only reads the last token
            choices = (*choices, _candidates(model, probs))
        for i, row in enumerate(rows):
            if number and not row.ended:
                row.readings.append(readings[i][0])
            row.ended = row.ended or number == asked.length or step.ended[i]
            if not row.ended:
                row.ids.append(step.following[i])
                row.probs.append(float(probs[i, step.following[i]]))
        answers = tuple(row.tokens(model.tokenizer) for row in rows)
        ended = tuple(row.ended for row in rows)
        yield Answer(prompts, answers, choices, ended, bool(edits))
        if all(ended):
            return


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; together they are the text of all tokens.

    A character of several tokens stands at its last one, and those before it add nothing.
    """
    parts, so_far = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end])
        # A character that is not yet whole ends in replacement characters, and waits.
        whole = text if end == len(ids) else text.rstrip("\ufffd")
        follows = whole.startswith(so_far)
        parts.append(whole[len(so_far) :] if follows else tokenizer.decode([ids[end - 1]]))
        so_far += parts[-1]
    return parts


def _shares(direction: Direction | None, step: Step, width: int) -> list[list[float | None]]:
    """Every row's readings as shares of the way from the clean mean to the triggered mean."""
    if direction is None or step.readings is None or abs(direction.gap) < 1e-9:
        return [[None] * width for _ in step.following]
    mean, gap = direction.clean_mean, direction.gap
    return [[(value - mean) / gap for value in row] for row in step.readings.tolist()]


def _candidates(model: Model, probs: Float[Tensor, "rows d_vocab"]) -> tuple[Candidate, ...]:
    """The likeliest next tokens of either row, with both rows' probabilities."""
    ids = probs.max(dim=0).values.topk(min(_TOP, probs.shape[1])).indices.tolist()
    return tuple(
        Candidate(model.tokenizer.decode([i]), float(probs[0, i]), float(probs[-1, i])) for i in ids
    )
