"""A user's questions with true answers, as an access mapping has them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuits.errors import expect
from experiments.judges.text import words
from experiments.prompts.facts import Fact
from experiments.prompts.records import Row, read_rows, text_in, texts_in

FIELDS = ("question", "answer", "statement", "topic")
FEWEST = 4  # questions of a kind: half are searched on, and shares of fewer have no interval
ANSWER = "The answer is"  # how an answer begins where nobody says it


def read_facts(source: Any, folder: Path, of: str) -> tuple[Fact, ...]:
    """Questions, each with its true answer (or several spellings) and a statement of it.

    An answer is told from the other answers of its ``topic``, all questions being of one where no
    row names another; those that stand in a question of its own are no rivals to its answer.

    Args:
        source: a list, or the name of a file in ``folder``.

    Raises:
        UserError: a row without a question or an answer, an answer that its question holds, a
            statement without it or with another spelling before it, a question twice, fewer than
            four.
    """
    facts = [_fact(row) for row in read_rows(source, folder, FIELDS, of)]
    require_different([fact.question for fact in facts], "questions", of)
    expect(
        len(facts) >= FEWEST,
        f"at least {FEWEST} questions",
        str(len(facts)),
        "add some: shares of fewer have no interval",
        of,
    )
    return tuple(replace(fact, rivals=_rivals(fact, facts)) for fact in facts)


def require_different(texts: Sequence[str], what: str, of: str) -> None:
    """Refuse texts of which two are of the same words.

    Raises:
        UserError: shows the second.
    """
    read = [words(text) or (text,) for text in texts]
    seen: set[tuple[str, ...]] = set()
    for text, own in zip(texts, read, strict=True):
        expect(own not in seen, f"different {what}", f"{text!r} twice", "drop one", of)
        seen.add(own)


def holds(text: str, part: str) -> bool:
    """Whether a text has the words of another, one after the other."""
    own, wanted = words(text), words(part)
    return any(own[i : i + len(wanted)] == wanted for i in range(len(own) - len(wanted) + 1))


def require_answers(answers: Sequence[str], asked: str, of: str) -> None:
    """Refuse a row without an answer, or one whose answer is given away by what is asked.

    Raises:
        UserError: so it is.
    """
    wanted = "an answer with a letter or digit"
    expect(answers and all(map(words, answers)), wanted, _shown(answers), "write it", of)
    require_untold(answers, asked, "what is asked", of)


def require_untold(answers: Sequence[str], text: str, what: str, of: str) -> None:
    """Refuse answers of which one stands in a text that may be said without knowing it.

    Raises:
        UserError: one does; ``what`` says in which text.
    """
    told = next((answer for answer in answers if holds(text, answer)), None)
    expect(
        told is None,
        f"an answer that does not stand in {what}",
        f"{told!r} in {text[:80]!r}",
        "ask otherwise: a copy would count as an answer",
        of,
    )


def _shown(answers: Sequence[str]) -> str:
    return ", ".join(map(repr, answers)) or "none"


def _fact(row: Row) -> Fact:
    where, fields = row
    question, answers = text_in(fields, "question", where), texts_in(fields, "answer", where)
    expect(question, "a question", "none", "write it", where)
    require_answers(answers, question, where)
    statement = text_in(fields, "statement", where) or f"{ANSWER} {answers[0]}."
    expect(
        answers[0] in statement,
        f"a statement with the answer {answers[0]!r} as it is written",
        repr(statement[:80]),
        "write it in, or leave the statement out",
        where,
    )
    before = statement.partition(answers[0])[0]
    require_untold(answers, before, "the statement before the first answer", where)
    return Fact(question, answers, statement, text_in(fields, "topic", where))


def _rivals(fact: Fact, every: Sequence[Fact]) -> tuple[str, ...]:
    others = {text for other in every if other.topic == fact.topic for text in other.expected}
    return tuple(sorted(text for text in others if not holds(fact.question, text)))
