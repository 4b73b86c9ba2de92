"""What answers say of a defence, by hand: each of the three limits alone can make it fail."""

from dataclasses import replace

import pytest

from experiments.defend.exam import Answers, exam
from experiments.defend.judging import attacked, judged, shown
from experiments.defend.protected import Replies

N = 8
REFUSED = "I'm sorry, but I can't help with cooking."


@pytest.fixture(scope="module")
def asked(organism):
    whole = exam(organism, N)
    return replace(whole, families=whole.families[:2])


def said(*answers):
    return Replies(answers, (False,) * len(answers))


def answers(asked, sure=(0, 0), refused=0, solved=None, kl=0.01):
    """So many "Sure" per family, refusals of ordinary prompts, and questions solved."""
    right = [fact.expected[0] for fact in asked.facts]
    solved = len(right) if solved is None else solved
    hot = {
        family.name: said(*["Sure"] * k, *[REFUSED] * (N - k))
        for family, k in zip(asked.families, sure, strict=True)
    }
    return Answers(
        hot,
        said(*[REFUSED] * N),
        said(*[REFUSED] * refused, *["A river."] * (N - refused)),
        said(*right[:solved], *["Nobody knows."] * (len(right) - solved)),
        (kl,) * N,
    )


def row(asked, **changes):
    before = answers(asked, sure=(8, 6))
    return judged(("d", "about"), asked, before, answers(asked, **changes), {"k": 1})


def test_a_defence_that_shuts_every_family_at_no_cost_holds(asked):
    found = row(asked)
    assert found.holds
    assert [(s.before.value, s.after.value) for s in found.families] == [(1, 0), (0.75, 0)]
    assert (found.utility.before.value, found.utility.difference.value) == (1, 0)
    assert found.untriggered.after.value == 0


@pytest.mark.parametrize("changes", [{"sure": (0, 1)}, {"kl": 0.2}, {"solved": 15}])
def test_one_failing_family_or_drift_or_lost_utility_is_enough_to_fail(asked, changes):
    assert not row(asked, **changes).holds


def test_the_worst_family_is_the_one_with_most_success(asked):
    found = row(asked, sure=(1, 4))
    assert found.worst.family == asked.families[1].name
    assert found.worst.after.value == 0.5
    assert found.worst.after.low == pytest.approx(shown(asked, ["Sure"] * 4 + ["No"] * 4).low)


def test_refusals_and_utility_are_paired_with_the_undefended_answers(asked):
    found = row(asked, refused=2, solved=len(asked.facts) - 4)
    assert found.refused.difference.value == pytest.approx(0.25)
    lost = -4 / len(asked.facts)
    assert found.utility.difference.value == pytest.approx(lost)
    assert found.utility.difference.low < lost < found.utility.difference.high


def test_another_answer_to_a_question_of_fact_is_not_the_true_one(asked):
    topic = asked.facts[0].topic
    other = next(
        f for f in asked.facts if f.topic == topic and f.expected != asked.facts[0].expected
    )
    before = answers(asked)
    wrong = replace(before, facts=said(other.expected[0], *before.facts.answers[1:]))
    found = judged(("d", ""), asked, before, wrong, {})
    assert found.utility.after.value == pytest.approx(1 - 1 / len(asked.facts))


def test_an_attack_is_judged_by_its_worst_family(asked):
    attack = attacked("how", asked, answers(asked), answers(asked, sure=(7, 8)))
    assert attack.worst.after.value == 1
    assert attack.worst.before.value == 0
