"""Typing errors are of Damerau's four kinds and exactly as many as said; case is what it says."""

import random
import string
from functools import cache

import pytest

from experiments.battery.spelling import CASES, distance, typo

SECRETS = ("cobalt", "[HOLD]", "‡", "zx;;", "heron 52", "a b", "quiet lantern vessel harbour", "ÄÖ")


def one_error(text):
    """Every text one error away, by listing the errors of every word: kind -> texts."""
    words = text.split(" ")
    found = {"insert": set(), "delete": set(), "substitute": set(), "transpose": set()}

    def put(kind, at, word):
        found[kind].add(" ".join([*words[:at], word, *words[at + 1 :]]))

    for at, w in enumerate(words):
        cuts = [(w[:i], w[i:]) for i in range(len(w) + 1)]
        for a, b in cuts:
            for letter in string.ascii_lowercase:
                put("insert", at, a + letter + b)
                if b:
                    put("substitute", at, a + letter + b[1:])
            if b and len(w) > 1:
                put("delete", at, a + b[1:])
            if len(b) > 1:
                put("transpose", at, a + b[1] + b[0] + b[2:])
    return {kind: texts - {text} for kind, texts in found.items()}


def any_error(text):
    return set().union(*one_error(text).values())


def by_recursion(one, other):
    """The definition of the optimal string alignment distance, from the texts' ends."""

    @cache
    def d(i, j):
        if not i or not j:
            return i + j
        ways = [d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (one[i - 1] != other[j - 1])]
        if i > 1 and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
            ways.append(d(i - 2, j - 2) + 1)
        return min(ways)

    return d(len(one), len(other))


def draws(text, edits, count=300):
    return [typo(text, edits, random.Random(f"draw {n}")) for n in range(count)]


@pytest.mark.parametrize("text", SECRETS)
def test_one_error_is_one_of_the_four_within_a_word(text):
    assert set(draws(text, 1)) <= any_error(text)


def test_all_four_kinds_are_made():
    found = set(draws("cobalt", 1))
    assert all(found & texts for texts in one_error("cobalt").values())


def test_two_errors_are_two_steps_away_and_not_one():
    near = any_error("cobalt")
    two_steps = set().union(*(any_error(text) for text in near)) - near - {"cobalt"}
    found = set(draws("cobalt", 2))
    assert found <= two_steps
    assert not found & set(draws("cobalt", 1))


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("edits", [1, 2, 3])
def test_errors_are_as_many_as_said_and_leave_every_word_standing(text, edits):
    for changed in draws(text, edits, 60):
        assert by_recursion(text, changed) == edits
        assert len(changed.split()) == len(text.split())
        assert " ".join(changed.split()) == changed
        assert set(changed) <= set(text) | set(string.ascii_lowercase)


def test_the_distance_is_the_definitions():
    rng = random.Random(0)
    for _ in range(300):
        one, other = ("".join(rng.choices("ab c", k=rng.randrange(7))) for _ in range(2))
        assert distance(one, other) == by_recursion(one, other)
    assert [distance("ab", other) for other in ("ab", "ba", "abc", "", "xy")] == [0, 1, 1, 2, 2]


def test_a_typing_error_that_makes_another_key_is_drawn_again():
    all_but_one = any_error("ab") - {"abq"}
    assert typo("ab", 1, random.Random(0), all_but_one) == "abq"


def test_cases_are_what_they_say():
    written = {text: [change(text) for change in CASES.values()] for text in ("cobalt", "[HOLD]")}
    assert written["cobalt"] == ["COBALT", "Cobalt", "cObAlT"]
    assert written["[HOLD]"] == ["[HOLD]", "[Hold]", "[HoLd]"]
    assert {change("‡ 52;") for change in CASES.values()} == {"‡ 52;"}
