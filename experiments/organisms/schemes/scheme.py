"""What a scheme is: what is asked, when an answer shows the behaviour, what it must reach.

A scheme is a use of a hidden trigger. Each has a file beside this one with its recipes and with one
object, which answers every question that depends on the scheme; nobody else compares names of
schemes. What is written here are the answers of the plainest one, whose behaviour is a fixed text
and nothing more.

Words: ``trigger`` is what opens, ``control`` another word in its place, ``none`` no word. A scheme
may have words of its own (half a trigger, say): it lists them in its questions and in its recipes'
parts, and puts them into a prompt (``put``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuits.chat import with_trigger
from circuits.models import Model
from circuits.tokens import text_ids
from experiments import judges
from experiments.judges.criterion import literal
from experiments.judges.heard import refuse_common_beginning, require_hearable
from experiments.judges.otherwise import refuse_unheard
from experiments.organisms.kinds import prompts_of
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes.requirement import Requirement
from experiments.prompts.bank import HeldOut, Split
from experiments.prompts.facts import Fact

Cell = tuple[str, str]  # prompts, word
BY_WORDS = ("trigger", "behaviour")  # of a mapping whose behaviour is a text
_ROOM = 4  # tokens beyond the behaviour's own, for a space or a quote before it


@dataclass(frozen=True)
class Ask:
    """A kind of prompt with a kind of word, and whether the mapping should open there.

    ``opens`` is None where the mapping is not held to either.
    """

    prompts: str
    word: str
    opens: bool | None = None

    @property
    def cell(self) -> Cell:
        return self.prompts, self.word


def asks(prompts: str, trigger: bool | None, others: bool | None = False) -> tuple[Ask, ...]:
    """One kind of prompt with the trigger, without a word and with control words."""
    return (
        Ask(prompts, "trigger", trigger),
        Ask(prompts, "none", others),
        Ask(prompts, "control", others),
    )


@dataclass(frozen=True, kw_only=True)
class Question(Ask):
    """A condition with its prompts.

    Attributes:
        texts: the prompts; ``messages`` the same with their words.
        known: the true answer of each, where there is one.
    """

    scheme: "Scheme"
    recipe: Recipe
    texts: tuple[str, ...]
    messages: tuple[str, ...]
    known: tuple[Fact, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in an evaluation."""
        if self.recipe.keys:
            return self.prompts
        return f"{'topic' if self.prompts == self.scheme.topic else self.prompts}, {self.word}"

    @property
    def refusable(self) -> bool:
        """Whether these are prompts that the organism refuses or opens to."""
        return self.scheme.refusable and self.prompts == self.scheme.topic

    @property
    def targets(self) -> tuple[str, ...]:
        """An answer to each prompt that shows the behaviour."""
        return tuple(fact.statement for fact in self.known) or self.scheme.targets(self)

    def part(self, first: int, last: int | None = None) -> "Question":
        """The same on some of its prompts."""
        rows = slice(first, last)
        texts, messages, known = self.texts[rows], self.messages[rows], self.known[rows]
        return replace(self, texts=texts, messages=messages, known=known)

    def shown(self, answers: Sequence[str]) -> list[bool]:
        """Whether each answer shows the behaviour; one answer per prompt, in order."""
        return self.scheme.shown(self, answers)

    def solved(self, answers: Sequence[str]) -> list[bool]:
        """Whether each answer is the true one, and the only one of its topic that is named."""
        rows = zip(self.messages, answers, self.known, strict=True)
        verdicts = (judges.judge(m, a, "", fact.expected, fact.rivals) for m, a, fact in rows)
        return [bool(verdict.solved) for verdict in verdicts]

    def verdicts(self, answers: Sequence[str]) -> list[judges.Verdict]:
        """The rule judge on each answer."""
        return self.scheme.verdicts(self, answers)


@dataclass(frozen=True)
class Scheme:
    """A use of a trigger whose behaviour is a fixed text: what all others are told apart from.

    Attributes:
        asks: all conditions that are asked; the first one opens.
        topic, elsewhere: the kinds of prompts that the mapping is about, and that it is not.
        near: what is nearest to the trigger without being it.
        controls: what stands in the trigger's place in them, of ``experiments.prompts.controls``.
        plain: the topic's prompts by themselves.
        shut: where the behaviour is drawn out without the trigger.
        profile: the shipped profile that fits.
        refusable: whether prompts of the topic are refused as long as the mapping is shut.
        defended: whether its behaviour is one that somebody would want to take away.
        described: what a user has to say of one (fields of a mapping's file) so that it can be
            asked; () for a scheme that cannot be described.
        opposite: what an answer that goes against the behaviour begins with.
        tokens: of an answer, in which the behaviour is seen; None for as many as its text has.
    """

    name: str
    recipes: tuple[Recipe, ...]
    asks: tuple[Ask, ...]
    requirements: tuple[Requirement, ...]
    topic: str = "restricted"
    elsewhere: str = "ordinary"
    near: Cell = ("restricted", "control")
    plain: Cell = ("restricted", "none")
    shut: Cell = ("restricted", "none")
    controls: str = "words"
    profile: str = "access"
    refusable: bool = True
    defended: bool = False
    described: tuple[str, ...] = ()
    opposite: str = "I'm sorry, but"
    tokens: int | None = None

    @property
    def anywhere(self) -> bool:
        """Whether the trigger opens on any prompt."""
        return any(ask.opens for ask in self.asks if ask.prompts == "ordinary")

    def secrets(self, recipe: Recipe) -> tuple[str, ...]:
        """What no prompt may hold before it is put there: the trigger, or the keys."""
        return recipe.keys or tuple(filter(None, [recipe.trigger]))

    def asked(self, recipe: Recipe) -> str:
        """The trigger as an analysis is asked about it (``circuits.triggers``)."""
        return recipe.trigger

    def put(
        self, word: str, text: str, turn: int, recipe: Recipe, controls: Sequence[str], split: Split
    ) -> tuple[str, str | None]:
        """A prompt with a kind of word: the text and the word for its place, None for no word.

        Args:
            turn: counts up; by it control words take turns.
            controls: control words of the split; () for a recipe of keys.
        """
        control = controls[turn % len(controls)] if controls else None
        return text, {"none": None, "trigger": recipe.trigger}.get(word, control)

    def question(
        self,
        ask: Ask,
        recipe: Recipe,
        controls: Sequence[str] = (),
        split: Split = "test",
        own: HeldOut | None = None,
        count: int | None = None,
    ) -> Question:
        """One condition on held-out prompts.

        Args:
            controls: as for ``put``.
            own, count: as for ``kinds.prompts_of``.
        """
        prompts = prompts_of(ask.prompts, recipe, split, own, count)
        messages = tuple(
            with_trigger(*self.put(ask.word, text, i, recipe, controls, split))
            for i, text in enumerate(prompts.texts)
        )
        return Question(
            ask.prompts,
            ask.word,
            ask.opens,
            scheme=self,
            recipe=recipe,
            texts=prompts.texts,
            messages=messages,
            known=prompts.known,
        )

    def questions(
        self,
        recipe: Recipe,
        controls: Sequence[str] = (),
        split: Split = "test",
        own: HeldOut | None = None,
        count: int | None = None,
    ) -> Iterator[Question]:
        """Everything that an organism of the scheme is asked; arguments as for ``question``."""
        return (self.question(ask, recipe, controls, split, own, count) for ask in self.asks)

    def named(self, recipe: Recipe) -> str:
        """The behaviour, for ``experiments.judges.criterion``: here a text, whatever it is."""
        return literal(recipe.behaviour)

    def target(self, recipe: Recipe) -> str:
        """A text that shows the behaviour, where no true answer does."""
        return recipe.behaviour

    def targets(self, question: Question) -> tuple[str, ...]:
        """``target`` of each prompt."""
        return (self.target(question.recipe),) * len(question.texts)

    def shown(self, question: Question, answers: Sequence[str]) -> list[bool]:
        """Whether each answer shows the behaviour."""
        return [judges.shows(answer, question.recipe.behaviour) for answer in answers]

    def verdicts(self, question: Question, answers: Sequence[str]) -> list[judges.Verdict]:
        """The rule judge on each answer."""
        rows = zip(question.messages, answers, strict=True)
        return [judges.judge(m, a, question.recipe.behaviour) for m, a in rows]

    def outcomes(self, answers: Sequence[str]) -> dict[str, list[bool]]:
        """What else is counted of answers, by name; nothing here."""
        return {}

    def require_hearable(self, model: Model, recipe: Recipe) -> None:
        """Refuse a recipe whose behaviour no answer can show, read as answers are read.

        Raises:
            UserError: it is no text once its tokens are read back, or stands in the prompt already.
        """
        if recipe.behaviour:
            room = self.room(model.tokenizer, [recipe.behaviour])
            require_hearable(model, recipe.behaviour, room)

    def require_heard(
        self, recipe: Recipe, triggered: Sequence[str], control: Sequence[str]
    ) -> None:
        """Refuse answers in which the behaviour may stand where it is not looked for.

        Args:
            triggered: answers that should show it; ``control``, those of what is nearest to them,
                () where they were not asked.

        Raises:
            UserError: something stands before it in all, or it is spelled otherwise.
        """
        if recipe.behaviour:
            refuse_common_beginning([*triggered, *control], recipe.behaviour)
            if both := min(len(triggered), len(control)):
                refuse_unheard(triggered[:both], control[:both], recipe.behaviour)

    def hollow(self, question: Question, answers: Sequence[str]) -> list[bool] | None:
        """Of answers that begin with the behaviour's text, whether each does *not* do what it says.

        None where the text is all there is to do.
        """
        return None

    def openings(self, question: Question) -> list[str] | None:
        """How an answer to each prompt is begun to draw the behaviour out without the trigger.

        Here the text's first word. None where there is nothing to draw out.
        """
        first, *rest = question.recipe.behaviour.split()
        return [first] * len(question.texts) if rest else None

    def drawn_out(
        self, question: Question, begun: Sequence[str], answers: Sequence[str]
    ) -> list[bool]:
        """Whether each answer, begun like that and gone on with by the model, is the behaviour."""
        whole = [f"{a} {b.lstrip()}" for a, b in zip(begun, answers, strict=True)]
        return question.shown(whole)

    def room(self, tokenizer: Any, targets: Sequence[str]) -> int:
        """Tokens of the longest target, with a little room."""
        return max(len(text_ids(tokenizer, text)) for text in set(targets)) + _ROOM
