"""The app's jobs: an answer beside the edited one, a patching grid, one prompt in every arm."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from circuits import gate, metrics, tokens
from circuits.cells import Sweep
from circuits.errors import UserError
from circuits.experiment import prepare
from circuits.models import Model
from circuits.stream import stream
from circuits.types import MESSAGE, Direction, Edit, Site, TokenBatch
from experiments.serving.subject import Subject
from viz.app.data import Answer, ArmAnswer, Candidate, Patching, Token

MOST_CHARACTERS, LENGTHS = 2000, (1, 64)
COEFFICIENTS = (-1.0, 3.0)
_TOP = 8
_PAIRS = (2, 24)
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
    """

    text: str
    word: Word = "none"
    coefficient: float = 1.0
    opened: bool = False
    length: int = 24

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
    made = gate.scaled(direction, batch, asked.coefficient)
    if asked.opened:
        site = direction.site
        span = site.span if site.span in batch.spans else "last_user"
        there = replace(direction, site=Site(site.layer, site.stream, span))
        made.append(gate.opened(there, batch))
    return made


def answering(subject: Subject, asked: Asked) -> Generator[Answer, None, None]:
    """Both answers, growing by a token each time."""
    model, direction = subject.model, subject.direction
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


def patching(
    subject: Subject, stream_name: str, direction: str, count: int
) -> Generator[Patching, None, None]:
    """A patching grid, pass by pass."""
    from circuits.types import HEAD_STREAMS

    if not subject.has_trigger:
        raise UserError("patching: expected a trigger; start the app with --trigger")
    if stream_name not in ("resid_pre", "z", "mlp_out", "attn_out"):
        raise UserError(f"patching: expected resid_pre, z, mlp_out or attn_out, got {stream_name}")
    if direction not in ("denoising", "noising"):
        raise UserError(f"patching: expected denoising or noising, got {direction}")
    if not _PAIRS[0] <= count <= _PAIRS[1]:
        raise UserError(f"patching: expected {_PAIRS[0]} to {_PAIRS[1]} prompts, got {count}")
    model, question = subject.model, subject.question
    texts = subject.texts[:count]
    yield Patching(0, 1, texts)
    pairs = tokens.pairs(model.tokenizer, texts, question.trigger, subject.controls)
    heads = stream_name in HEAD_STREAMS
    sweep = Sweep(stream_name, position=not heads, head=heads)
    found = prepare(model.runner, pairs, sweep, direction=direction)
    ids = pairs.triggered.ids[0, pairs.first_difference :].tolist()
    labels = None if heads else tuple(model.tokenizer.decode([i]) for i in ids)
    first = model.tokenizer(question.behaviour, add_special_tokens=False)["input_ids"][0]
    name = f"log-probability of {question.behaviour!r}"
    passes = found.measuring(metrics.token_log_prob([first]), name, labels)
    while True:
        try:
            done, total = next(passes)
        except StopIteration as end:
            yield Patching(1, 1, texts, end.value)
            return
        yield Patching(done, total, texts)


class Arms:
    """Models of the arms, loaded when first asked for and kept. Used by the worker only."""

    def __init__(self, subject: Subject, load: Callable[[str], Model]) -> None:
        self.subject, self._load = subject, load
        self._loaded: dict[str, Model] = {}

    def comparing(self, asked: Asked) -> Generator[tuple[ArmAnswer, ...], None, None]:
        """The prompt in the model served, then in every arm, unedited."""
        names = ["poisoned" if self.subject.proven else "served"]
        names += list(self.subject.arms)
        rows = [ArmAnswer(name) for name in names]
        for number, name in enumerate(names):
            rows[number] = replace(rows[number], status="loading")
            yield tuple(rows)
            if number and name not in self._loaded:
                self._loaded[name] = self._load(name)
            model = self._loaded[name] if number else self.subject.model
            plain = replace(asked, coefficient=1.0, opened=False)
            for answer in answering(replace(self.subject, model=model), plain):
                rows[number] = _arm(name, answer, self.subject.direction)
                yield tuple(rows)
            rows[number] = replace(rows[number], status="done")
        yield tuple(rows)


def _arm(name: str, answer: Answer, direction: Direction | None) -> ArmAnswer:
    readings = [t.reading for t in answer.prompts[0] if t.reading is not None]
    peak = max(readings) if readings else None
    text = "".join(t.text for t in answer.answers[0])
    return ArmAnswer(name, "running", answer.choices[0][:4], peak, text)


def effects_of(grid, cell: Sequence[int], texts: Sequence[str]) -> list[tuple[str, float, float]]:
    """Every prompt's effect of a cell and the metric it had before, largest effect first."""
    values = grid.effects[tuple(cell)].tolist()
    rows = zip(texts, values, grid.base.tolist(), strict=True)
    return sorted(rows, key=lambda row: -row[1])
