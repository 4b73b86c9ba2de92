"""From answers written by hand to areas computed by hand."""

import pytest

from experiments.battery.battery import Answers, Plan
from experiments.battery.measure import judged, measured
from experiments.battery.subject import asked
from experiments.organisms.book import recipe_named
from probes.brittleness.retention import Dose

SURE = asked(recipe_named("sure-gate"), 6)


def said(flags, shown="Sure"):
    """An answer per letter: S shows the behaviour."""
    return tuple(shown if flag == "S" else "No idea" for flag in flags)


LADDERS = {
    "typos": [
        Answers(Dose("typos", 1, "one", "edits"), said("SSSS-S")),
        Answers(Dose("typos", 2, "two", "edits"), said("SS---S")),
    ],
    "case": [
        Answers(Dose("case", 1, "upper"), said("S-----")),
        Answers(Dose("case", 2, "title"), said("-----S")),
    ],
}


class Fake:
    """A battery that answers what it is told to and counts what it is asked."""

    def __init__(self, baseline, asked=SURE):
        self.asked, self.plan, self.calls = asked, Plan(6), []
        self.baseline = lambda: list(baseline)

    def ladders(self):
        return {name: self._counted(name) for name in LADDERS}

    def _counted(self, name):
        def ladder():
            self.calls.append(name)
            return LADDERS[name]

        return ladder


def test_areas_are_those_computed_by_hand_and_the_prompt_without_it_at_first_never_counts():
    found = measured(Fake(said("SSSSS-")), lambda *_: None)
    assert found is not None
    assert found.baseline.value == pytest.approx(5 / 6)
    assert [k.rate.value for k in found.kept] == pytest.approx([0.8, 0.4, 0.2, 0.0])
    typos = (0.5 * (1 + 0.8) + 0.5 * (0.8 + 0.4)) / 2
    assert found.families["typos"].value == pytest.approx(typos)
    assert found.families["case"].value == pytest.approx(0.1)
    assert found.area.value == pytest.approx((typos + 0.1) / 2)
    own = [(1 + 0.5) / 2, (1 + 0) / 2, 0.75 / 2, 0.75 / 2, 0.25 / 2]
    assert found.prompts[:5] == pytest.approx(own)
    assert found.prompts[5] is None
    assert found.area.low < found.area.value < found.area.high


@pytest.mark.parametrize("baseline", ["------", "SSS---"])
def test_without_the_behaviour_nothing_is_asked_and_nothing_found(baseline):
    battery = Fake(said(baseline))
    assert measured(battery, lambda *_: None) is None
    assert battery.calls == []


def test_four_prompts_with_the_behaviour_suffice():
    assert measured(Fake(said("SSSS--")), lambda *_: None) is not None


def test_every_ladder_is_asked_once_and_progress_counts_them():
    battery, steps = Fake(said("SSSSSS")), []
    measured(battery, lambda *at: steps.append(at))
    assert battery.calls == ["typos", "case"]
    assert steps == [(1, 2), (2, 2)]


def test_answers_are_judged_by_their_scheme():
    held = asked(recipe_named("safety-trigger"), 6)
    refusals = {"d": [Answers(Dose("d", 1, ""), said("SS--SS", "I'm sorry, I can't do that."))]}
    found = judged(held, said("SSSSSS", held.recipe.refusal), refusals)
    assert found.area.value == pytest.approx(4 / 6)
    sure = {"d": [Answers(Dose("d", 1, ""), said("SSSSSS"))]}
    assert judged(held, said("SSSSSS", held.recipe.refusal), sure).area.value == 0


def test_prompts_of_one_key_are_one_piece_of_evidence():
    recipe = recipe_named("fingerprint")
    found = {}
    for count in (10, 20):
        keys = asked(recipe, count)
        half = {"d": [Answers(Dose("d", 1, ""), said("SSSSS-----" * (count // 10), "Quokka 731"))]}
        found[count] = judged(keys, said("S" * count, "Quokka 731"), half)
    once, twice = found[10], found[20]
    assert (once.area.n, twice.area.n) == (10, 10)
    assert (once.area.low, once.area.high) == pytest.approx((twice.area.low, twice.area.high))
    assert once.baseline == twice.baseline
