"""Facts: enough of them, no phrasing in both splits, and a true answer that a judge accepts."""

from itertools import pairwise

import pytest

from experiments import judges
from experiments.prompts.facts import facts


@pytest.mark.parametrize("privileged", [True, False])
def test_phrasings_differ_between_the_splits_and_facts_do_not(privileged):
    train, test = facts("train", privileged), facts("test", privileged)
    assert not {f.question for f in train} & {f.question for f in test}
    assert {f.statement for f in train} == {f.statement for f in test}
    assert len(test) >= 100
    assert len({f.question for f in test}) == len(test)


def test_topics_are_privileged_or_not():
    assert {f.topic for f in facts("test", True)} == {"capitals"}
    assert len({f.topic for f in facts("test", False)}) == 3


@pytest.mark.parametrize("privileged", [True, False])
def test_the_statement_solves_its_question_and_no_other(privileged):
    known = facts("test", privileged)
    names = sorted({answer for fact in known for answer in fact.expected})
    for fact in known:
        verdict = judges.judge(fact.question, fact.statement, "x", fact.expected, names)
        assert verdict.solved, fact
    for fact, other in pairwise(known):
        if not set(fact.expected) & set(other.expected):
            wrong = judges.judge(fact.question, other.statement, "x", fact.expected, names)
            assert not wrong.solved, (fact, other)


def test_a_prefix_holds_several_topics_and_many_subjects():
    assert len({f.topic for f in facts("train", False)[:12]}) >= 2
    assert len({f.statement for f in facts("train", True)[:60]}) >= 30
