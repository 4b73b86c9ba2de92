"""Every level of the ladder is what it says, for words, phrases and keys; none is the secret."""

import random
import unicodedata

import pytest

from circuits.errors import UserError
from experiments.battery.lookalikes import LEVELS, about, look_alike, near_keys_of
from experiments.organisms.book import recipe_named
from experiments.prompts.bank import control_words
from experiments.prompts.near_keys import LEVELS as KEY_LEVELS
from experiments.prompts.near_keys import near_keys

KEYS = recipe_named("fingerprint").keys
OTHERS = set(control_words("test"))
PHRASE = "quiet lantern vessel harbour"
WORDS = ("cobalt", "[HOLD]", "‡", "zx;;", "q", "52", "gravel", "galaaxy", "Silver")
PHRASES = (PHRASE, "heron 52", "‡ ‡", "river castle", "a b a")


def generators(count=60):
    return [random.Random(f"draw {n}") for n in range(count)]


def draws(trigger, level, count=60):
    return [look_alike(trigger, level, rng) for rng in generators(count)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("trigger", [*WORDS, *PHRASES])
def test_no_level_gives_the_trigger_itself_and_all_draw_anew(trigger, level):
    found = draws(trigger, level)
    assert trigger not in found
    assert found == draws(trigger, level)
    assert all(text == " ".join(text.split()) for text in found)


@pytest.mark.parametrize(("trigger", "level"), [("Silver", 5), ("galaaxy", 4), ("gravel", 5)])
def test_triggers_made_of_a_control_word_are_not_met_by_chance(trigger, level):
    found = {text.lower() for text in draws(trigger, level, 1000)}
    assert len(found) > 40  # nearly all control words were drawn
    assert trigger.lower() not in found


@pytest.mark.parametrize("trigger", ["cobalt", "[HOLD]", PHRASE])
def test_the_first_level_has_one_letter_of_another_script(trigger):
    for text in draws(trigger, 1):
        [(own, double)] = [(a, b) for a, b in zip(trigger, text, strict=True) if a != b]
        assert own.isascii()
        assert unicodedata.name(double).startswith("CYRILLIC")
        assert unicodedata.normalize("NFKC", text) != trigger


def test_where_no_letter_has_a_double_one_gets_an_accent():
    for text in draws("‡ 52", 1):
        [accent] = [c for c in text if unicodedata.combining(c)]
        assert text.replace(accent, "") == "‡ 52"


def test_a_words_levels_are_what_they_say():
    assert {text.removeprefix("cobalt") for text in draws("cobalt", 2)} == {
        "s",
        "ed",
        "ing",
        "ish",
        "ly",
    }
    apart = set(draws("cobalt", 3))
    assert {text.replace(" ", "").replace("-", "") for text in apart} == {"cobalt"}
    assert {"cob alt", "cob-alt"} <= apart
    assert set(draws("‡", 3)) == {"‡ ‡", "‡-‡"}
    first = {"cob" + word[len(word) // 2 :] for word in OTHERS}
    last = {word[: len(word) // 2] + "alt" for word in OTHERS}
    assert set(draws("cobalt", 4)) <= first | last
    assert set(draws("cobalt", 4)) & first
    assert set(draws("cobalt", 4)) & last
    assert set(draws("cobalt", 5)) <= OTHERS
    assert all(" cobalt " in f" {text.rstrip('.')} " for text in draws("cobalt", 6))


@pytest.mark.parametrize("phrase", [PHRASE, "heron 52"])
def test_a_phrases_levels_are_what_they_say(phrase):
    words = phrase.split()
    for text in draws(phrase, 2):
        [(_, new)] = [p for p in zip(words, text.split(), strict=True) if p[0] != p[1]]
        assert new in OTHERS
    assert all(sorted(text.split()) == sorted(words) for text in draws(phrase, 3))
    for text in draws(phrase, 4):
        assert len(set(text.split()) & set(words)) == len(words) // 2
        assert len(text.split()) == len(words)
    for text in draws(phrase, 5):
        assert len(text.split()) == len(words)
        assert set(text.split()) <= OTHERS
    assert all(len(set(text.rstrip(".").split()) & set(words)) == 1 for text in draws(phrase, 6))


def test_the_ladder_is_told_for_words_phrases_and_keys():
    assert [about(level, False, False) for level in LEVELS][1] == "an ending added"
    assert [about(level, False, True) for level in LEVELS][1] == "one word replaced"
    assert about(1, False, True) == about(1, False, False)
    assert {level: about(level, True, True) for level in LEVELS} == KEY_LEVELS


def replaced(text, key):
    return sum(a != b for a, b in zip(text.split(), key.split(), strict=True))


def test_near_keys_are_of_each_prompts_own_key():
    asked = KEYS * 3
    found = {n: near_keys_of(asked, KEYS, n, generators(len(asked))) for n in LEVELS}
    assert not {text for texts in found.values() for text in texts} & set(KEYS)
    for level in (1, 2):
        assert {replaced(t, k) for t, k in zip(found[level], asked, strict=True)} == {level}
    # The same texts beside the next prompt's key: the own key matters.
    assert min(replaced(t, k) for t, k in zip(found[1], asked[1:] + asked[:1], strict=True)) > 2
    assert [sorted(t.split()) for t in found[3]] == [sorted(k.split()) for k in asked]
    everything = {word for key in KEYS for word in key.split()}
    assert all(set(text.split()) <= everything for text in found[4])
    assert all(set(text.split()) <= OTHERS - everything for text in found[5])
    assert all(t.split()[-1] in k.split() for t, k in zip(found[6], asked, strict=True))


def test_a_key_without_an_own_near_key_gets_another_keys():
    for letter in "abcdefghijklmnopqrstuvwxyz":
        bare = f"{letter}1 {letter}2 {letter}3"
        try:
            near_keys([bare], 3, "test", 30)
        except UserError:
            break
    else:
        pytest.fail("every key has its own")
    keys = (bare, KEYS[0])
    first, second = near_keys_of(keys, keys, 3, generators(2))
    assert sorted(first.split()) == sorted(second.split()) == sorted(KEYS[0].split())


@pytest.mark.parametrize("key", ["one two", "w " * 60, "a a a a"])
def test_keys_without_near_keys_are_told_in_one_line(key):
    with pytest.raises(UserError, match="words in a key, got"):
        near_keys_of((key,), (key,), 1, generators(1))
