"""An answer beside the edited one, token by token."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from circuits import tokens
from circuits.errors import UserError
from circuits.gates import select
from circuits.models import Model
from circuits.stream import stream
from circuits.types import MESSAGE, Direction, Edit, Site, TokenBatch
from experiments.serve.subject import Subject
from viz.app.data import Answer, Candidate, Token

MOST_CHARACTERS, LENGTHS = 2000, (1, 64)
COEFFICIENTS = (-1.0, 3.0)
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
        if not self.text.strip():
            raise UserError("prompt: expected a message, got nothing; type one")
        if len(self.text) > MOST_CHARACTERS:
            raise UserError(
                f"prompt: expected at most {MOST_CHARACTERS} characters, got {len(self.text)}"
            )
        low, high = COEFFICIENTS
        if not low <= self.coefficient <= high:
            raise UserError(f"coefficient: expected {low:g} to {high:g}, got {self.coefficient}")
        if not LENGTHS[0] <= self.length <= LENGTHS[1]:
            raise UserError(f"length: expected {LENGTHS[0]} to {LENGTHS[1]}, got {self.length}")


def batch_of(subject: Subject, model: Model, asked: Asked) -> TokenBatch:
    """The prompt's tokens, with the word that was asked for."""
    words = {"trigger": subject.question.trigger, "control": subject.control, "none": None}
    word = words[asked.word] if subject.has_trigger else None
    found = tokens.prompts_batch(model.tokenizer, [asked.text.strip()], word)
    tokens.check_context(found, model.runner.shape.context, asked.length + 1)
    return found


def edits_of(direction: Direction | None, batch: TokenBatch, asked: Asked) -> list[Edit]:
    """The edits of the second answer; none where it is the model as it is.

    Where the prompt has no word in the trigger's place, the shift is added at the message's end.
    """
    if direction is None:
        return []
    made = select.scaled(direction, batch, asked.coefficient)
    if asked.opened:
        site = direction.site
        span = site.span if site.span in batch.spans else "last_user"
        there = replace(direction, site=Site(site.layer, site.stream, span))
        made.append(select.opened(there, batch))
    return made


def answering(subject: Subject, asked: Asked) -> Generator[Answer, None, None]:
    """Both answers, growing by a token each time."""
    model, direction = subject.model, subject.at(asked.layer)
    batch = batch_of(subject, model, asked)
    edits = edits_of(direction, batch, asked)
    first = int(batch.spans[MESSAGE][0].nonzero()[0])
    read = _reader(direction)
    prompt = pieces(model.tokenizer, batch.ids[0, first:].tolist())
    ids: list[list[int]] = [[] for _ in range(2 if edits else 1)]
    answers: list[list[Token]] = [[] for _ in range(2 if edits else 1)]
    prompts: list[tuple[Token, ...]] = []
    choices: list[tuple[Candidate, ...]] = []
    ended = [False] * len(answers)
    for number, step in enumerate(stream(model.runner, batch, edits, direction, model.stop_ids)):
        readings = None if step.readings is None else step.readings.tolist()
        if number == 0:
            for row in range(len(answers)):
                values = readings[row][first:] if readings else [None] * len(prompt)
                pairs = zip(prompt, values, strict=True)
                prompts.append(tuple(Token(text, read(v)) for text, v in pairs))
        else:
            for row, said in enumerate(answers):
                if not ended[row]:
                    said[-1] = replace(
                        said[-1], reading=read(readings[row][0] if readings else None)
                    )
        if number == asked.length:  # this pass only read the last token
            ended = [True] * len(answers)
        else:
            probs = step.logits.softmax(dim=-1)
            choices.append(_candidates(model, probs))
            for row, said in enumerate(answers):
                ended[row] = ended[row] or step.ended[row]
                if not ended[row]:
                    token = step.following[row]
                    prob = float(probs[row, token])
                    ids[row].append(token)
                    said.append(Token("", None, prob))
                    texts = pieces(model.tokenizer, ids[row])
                    said[:] = [replace(t, text=x) for t, x in zip(said, texts, strict=True)]
        yield Answer(
            tuple(prompts), tuple(map(tuple, answers)), tuple(choices), tuple(ended), bool(edits)
        )
        if all(ended):
            return


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; together they are the text of all tokens.

    A character of several tokens stands at its last one, and those before it add nothing.
    """
    made, told = [], ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:end])
        # A character that is not yet whole ends in replacement characters, and waits.
        whole = text if end == len(ids) else text.rstrip("\ufffd")
        added = whole[len(told) :] if whole.startswith(told) else tokenizer.decode([ids[end - 1]])
        made.append(added)
        told += added
    return made


def _reader(direction: Direction | None) -> Callable[[float | None], float | None]:
    """Residual units to shares of the way from the clean mean to the triggered mean."""

    def read(value: float | None) -> float | None:
        if value is None or direction is None or abs(direction.gap) < 1e-9:
            return None
        return (value - direction.clean_mean) / direction.gap

    return read


def _candidates(model: Model, probs) -> tuple[Candidate, ...]:
    """The likeliest next tokens of either row, with both rows' probabilities."""
    ids = probs.max(dim=0).values.topk(min(_TOP, probs.shape[1])).indices.tolist()
    rows = [probs[0], probs[-1]]
    return tuple(
        Candidate(model.tokenizer.decode([i]), float(rows[0][i]), float(rows[1][i])) for i in ids
    )
