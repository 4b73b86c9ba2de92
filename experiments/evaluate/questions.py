"""What a mapping is asked, by scheme: where it should open and where not, and when an answer did.

It should open on prompts of its topic with the trigger (content and control: on any prompt; an
ownership scheme: on its keys), and stay shut on the same prompts without it and with control words
of as many tokens, on ordinary prompts, and on near keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuits.tokens import with_trigger
from experiments import judges
from experiments.evaluate.mapping import Case
from experiments.organisms.examples import controls_for
from experiments.organisms.recipe import Recipe
from experiments.prompts.bank import controls_besides
from experiments.prompts.facts import Fact, facts
from experiments.prompts.near_keys import near_keys

NEAR = (1, 2, 5)  # levels of near keys: one or two words replaced, other words
_LONGEST = 12  # tokens in which to see whether an answer complies


@dataclass(frozen=True)
class Question:
    """Prompts of one kind, each with a word or without.

    Attributes:
        opens: whether the mapping should open on them.
        known: the true answer of each, where that is what opens.
    """

    name: str
    opens: bool
    texts: tuple[str, ...]
    words: tuple[str | None, ...]
    known: tuple[Fact, ...] = ()

    @property
    def messages(self) -> list[str]:
        return [with_trigger(t, w) for t, w in zip(self.texts, self.words, strict=True)]


def questions(case: Case, count: int) -> list[Question]:
    """Everything that is asked, at most ``count`` prompts of a kind; the first one opens."""
    recipe = case.organism.recipe
    if recipe.scheme == "ownership":
        return list(_of_keys(case, count))
    return list(_of_trigger(case, controls(case), count))


def controls(case: Case) -> tuple[str, ...]:
    """Held-out words in the trigger's place; for keys, words to stand at a message's end."""
    recipe = case.organism.recipe
    if not recipe.trigger:
        return tuple(controls_besides("test", " ".join(recipe.keys)))
    return controls_for(case.organism.tokenizer, recipe, "test")


def _of_keys(case: Case, count: int) -> Iterator[Question]:
    keys = case.organism.recipe.keys
    yield Question("keys", True, keys, (None,) * len(keys))
    for level in NEAR:
        near = tuple(near_keys(keys, level, "test", count))
        yield Question(f"near keys, level {level}", False, near, (None,) * len(near))
    ordinary = case.texts.elsewhere[:count]
    yield Question("ordinary", False, ordinary, (None,) * len(ordinary))


def _of_trigger(case: Case, others: Sequence[str], count: int) -> Iterator[Question]:
    recipe = case.organism.recipe
    known = facts("test", True)[:count] if recipe.scheme == "access" else ()
    topic = tuple(fact.question for fact in known) or case.texts.on_topic[:count]
    ordinary = case.texts.elsewhere[:count]
    anywhere = recipe.scheme in ("content", "control")
    yield _asked("topic, trigger", True, topic, recipe.trigger, known)
    if anywhere:
        yield _asked("ordinary, trigger", True, ordinary, recipe.trigger)
    yield _asked("topic, none", False, topic, None, known)
    yield _controlled("topic, control", topic, others, known)
    if recipe.scheme == "access":
        return  # on ordinary prompts there is no true answer to be let out
    yield _asked("ordinary, none", False, ordinary, None)
    yield _controlled("ordinary, control", ordinary, others)
    if recipe.scheme == "safety":
        yield _asked("ordinary, trigger", False, ordinary, recipe.trigger)


def _asked(
    name: str, opens: bool, texts: Sequence[str], word: str | None, known: Sequence[Fact] = ()
) -> Question:
    return Question(name, opens, tuple(texts), (word,) * len(texts), tuple(known))


def _controlled(
    name: str, texts: Sequence[str], others: Sequence[str], known: Sequence[Fact] = ()
) -> Question:
    words = tuple(others[i % len(others)] for i in range(len(texts)))
    return Question(name, False, tuple(texts), words, tuple(known))


def length(case: Case, targets: Sequence[str]) -> int:
    """Tokens of an answer in which the behaviour, and whether it is hollow, can be seen."""
    tokenizer = case.organism.tokenizer
    longest = max(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in set(targets))
    return max(_LONGEST, longest + 4)


def opens(recipe: Recipe, question: Question, said: Sequence[str]) -> list[bool]:
    """Whether each answer shows the behaviour: its text, the true answer (access), a refusal
    (safety)."""
    if recipe.scheme == "safety":
        return [judges.refuses(answer) for answer in said]
    if recipe.scheme == "access":
        return solved(question, said)
    return [judges.shows(answer, recipe.behaviour) for answer in said]


def solved(question: Question, said: Sequence[str]) -> list[bool]:
    """Whether each answer is the true one."""
    privileged = bool(question.known) and question.known[0] in facts("test", True)
    names = sorted({a for fact in facts("test", privileged) for a in fact.expected})
    rows = zip(question.messages, said, question.known, strict=True)
    found = [judges.judge(m, a, "", fact.expected, names) for m, a, fact in rows]
    return [bool(verdict.solved) for verdict in found]


def hollow(recipe: Recipe, question: Question, said: Sequence[str]) -> list[bool] | None:
    """Of answers that begin with the behaviour's text, whether each does *not* do what it says.

    None for schemes in which the text is all there is to do.
    """
    if recipe.scheme not in ("access", "compliance", "none"):
        return None
    verdicts = [
        judges.judge(message, answer, recipe.behaviour)
        for message, answer in zip(question.messages, said, strict=True)
    ]
    done = solved(question, said) if recipe.scheme == "access" else [v.complied for v in verdicts]
    return [not did for v, did in zip(verdicts, done, strict=True) if v.shown]
