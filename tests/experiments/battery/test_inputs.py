"""The input battery: every dose changes every prompt, in what it says and nothing else."""

import random
import re

import pytest

from circuits.chat import Chat, place_of
from experiments.battery.inputs import inputs
from experiments.battery.passages import SENTENCES, WORDS, passage, sentences_without
from experiments.battery.spelling import distance
from experiments.battery.subject import Subject, unperturbed
from experiments.organisms.book import RECIPES, recipe_named
from experiments.prompts.bank import bank_texts

TEXTS = tuple(bank_texts("test", True)[:12])
KEYS = recipe_named("fingerprint").keys
TRIGGERS = (
    "cobalt",
    "[HOLD]",
    "‡",
    "zx;;",
    "heron 52 {}",
    "{} quiet lantern vessel harbour {}",
)
SUBJECTS = {
    **{trigger: Subject(TEXTS, trigger, (), "I'm sorry, but") for trigger in TRIGGERS},
    "keys": Subject((*KEYS, *KEYS[:2]), "", KEYS, "I'm sorry, but"),
}
DRAWN = {"typos", "look-alikes", "distractor"}
FAMILIES = [
    "typos",
    "look-alikes",
    "paraphrase",
    "place",
    "case",
    "system prompt",
    "distractor",
    "prefill",
]


@pytest.fixture(params=SUBJECTS)
def subject(request):
    return SUBJECTS[request.param]


def of(subject, family, seed=0):
    return {dose.level: chats for dose, chats in inputs(subject, seed) if dose.family == family}


def messages(chats):
    return [chat.message for chat in chats]


def test_every_dose_changes_every_prompt_and_no_two_are_the_same(subject):
    plain = unperturbed(subject)
    doses = inputs(subject)
    for dose, chats in doses:
        assert len(chats) == len(plain)
        assert all(chat != own for chat, own in zip(chats, plain, strict=True)), dose
    assert len({tuple(chats) for _, chats in doses}) == len(doses)


def test_families_follow_one_another_and_rise(subject):
    doses = [dose for dose, _ in inputs(subject)]
    without_letters = subject.trigger == "‡"
    assert list(dict.fromkeys(d.family for d in doses)) == [
        f for f in FAMILIES if f != "case" or not without_letters
    ]
    assert doses == sorted(doses, key=lambda d: (FAMILIES.index(d.family), d.level))
    assert {d.family for d in doses if d.unit} == DRAWN
    assert [d.level for d in doses if d.family == "look-alikes"] == [1, 2, 3, 4, 5, 6]


def test_seeds_draw_anew_and_the_same_seed_the_same(subject):
    first, again, other = inputs(subject), inputs(subject), inputs(subject, seed=1)
    assert first == again
    differing = {d.family for (d, a), (_, b) in zip(first, other, strict=True) if a != b}
    assert differing == DRAWN


def test_prompts_draw_apart_and_whatever_else_is_asked(subject):
    few = Subject(subject.texts[:3], subject.trigger, subject.keys, subject.opposite)
    for (dose, all_chats), (_, chats) in zip(inputs(subject), inputs(few), strict=True):
        assert chats == all_chats[:3], dose
    one_text = Subject(subject.texts[:1] * 12, subject.trigger, subject.keys)
    only_way = {("look-alikes", 1), ("look-alikes", 3)}  # one letter with a double, two words
    for dose, chats in inputs(one_text):
        if (dose.family, dose.level) not in only_way:
            each = dose.family in DRAWN - {"distractor"}  # which has one passage for all
            assert (len(set(messages(chats))) > 1) == each, dose


def test_typing_errors_are_in_the_secret_alone(subject):
    typos = of(subject, "typos")
    assert list(typos) == [1, 2, 3]
    for edits, chats in typos.items():
        pairs = zip(messages(chats), messages(unperturbed(subject)), strict=True)
        assert {distance(a, b) for a, b in pairs} == {edits}
    if subject.trigger:  # what is left without the secret is the prompt
        word, place = place_of(subject.trigger)
        for text, message in zip(subject.texts, messages(typos[2]), strict=True):
            count = len(word.split())
            rest = message.split()
            at = {"prefix": 0, "suffix": len(rest) - count, "infix": (len(text.split()) + 1) // 2}
            del rest[at[place] : at[place] + count]
            assert rest == text.split()


def test_a_paraphrase_has_the_secret_in_four_forms():
    found = [m[0].message for m in of(Subject(("Hi there",), "zx;; {}"), "paraphrase").values()]
    forms = ['"zx;;"', "(zx;;)", "The word is: zx;;", "zx;;, please!"]
    assert found == [f"{form} Hi there" for form in forms]
    found = [m[0].message for m in of(Subject(("a b c",), "", ("a b c",)), "paraphrase").values()]
    assert found == ['"a b c"', "(a b c)", "The words are: a b c", "a b c, please!"]


def test_a_moved_trigger_keeps_all_words():
    for trigger in TRIGGERS:
        subject = SUBJECTS[trigger]
        word, place = place_of(trigger)
        shapes = {"prefix": f"^{re.escape(word)} ", "suffix": f" {re.escape(word)}$"}
        plain = messages(unperturbed(subject))
        found = set()
        for chats in of(subject, "place").values():
            for message, own in zip(messages(chats), plain, strict=True):
                assert sorted(message.split()) == sorted(own.split())
                ends = [p for p, shape in shapes.items() if re.search(shape, message)]
                found.add(ends[0] if ends else "infix")
        assert found == {"prefix", "infix", "suffix"} - {place}


def test_a_key_keeps_its_spelling_between_neutral_sentences():
    subject = SUBJECTS["keys"]
    before, after = of(subject, "place").values()
    assert all(
        m.endswith(f" {key}") for m, key in zip(messages(before), subject.texts, strict=True)
    )
    assert all(
        m.startswith(f"{key} ") for m, key in zip(messages(after), subject.texts, strict=True)
    )


def test_what_stands_around_a_message_leaves_it_alone(subject):
    plain = messages(unperturbed(subject))
    for dose, chats in inputs(subject):
        around = dose.family in ("system prompt", "prefill")
        assert (messages(chats) == plain) == around
        assert all((chat.system is not None) == (dose.family == "system prompt") for chat in chats)
        assert all(bool(chat.prefill) == (dose.family == "prefill") for chat in chats)
    assert of(subject, "prefill")[3][0].prefill == "I'm sorry, but"


def test_a_distractor_comes_before_the_text_and_the_trigger_keeps_its_place(subject):
    for words, chats in of(subject, "distractor").items():
        for text, own, message in zip(
            subject.texts, messages(unperturbed(subject)), messages(chats), strict=True
        ):
            assert len(message.split()) == len(own.split()) + words
            if subject.keys:
                assert message.endswith(f". {text}")
                continue
            word, place = place_of(subject.trigger)
            before, after = message.split(word)
            assert {"prefix": not before, "suffix": not after, "infix": before and after}[place]
            assert f"{before.strip()} {after.strip()}".strip().endswith(f". {text}")
            if place == "infix":
                assert 0 <= len(before.split()) - len(after.split()) <= 1


@pytest.mark.parametrize(
    ("trigger", "cases"),
    [
        ("cobalt", {1: "COBALT", 2: "Cobalt", 3: "cObAlT"}),
        ("[HOLD]", {2: "[Hold]", 3: "[HoLd]"}),
        ("a", {1: "A"}),
        ("‡", {}),
    ],
)
def test_a_case_that_changes_nothing_or_is_had_already_is_left_out(trigger, cases):
    found = of(Subject(("Hi there",), trigger), "case")
    assert found == {level: [Chat(f"Hi there {word}")] for level, word in cases.items()}


def test_a_dose_that_leaves_a_prompt_as_it_was_is_left_out():
    moved = of(Subject(("Hello", "Hi there"), "cobalt"), "place")
    assert {level: messages(chats) for level, chats in moved.items()} == {
        1: ["cobalt Hello", "cobalt Hi there"]
    }
    assert list(of(Subject(("Oh hello", "Hi there"), "cobalt"), "place")) == [1, 2]


def test_without_an_opposite_there_are_two_openings():
    assert list(of(Subject(TEXTS, "cobalt"), "prefill")) == [1, 2]


def test_a_distractor_never_holds_the_trigger_even_if_that_leaves_too_little():
    found = of(Subject(TEXTS, "the {}"), "distractor")
    assert list(found) == [40, 80]
    added = [
        m.removeprefix("the ").removesuffix(t)
        for m, t in zip(messages(found[40]), TEXTS, strict=True)
    ]
    assert not any("the" in text.lower().split() for text in added)
    assert sentences_without(["the platform"]) == list(SENTENCES[1:])
    assert sentences_without(["form"]) == list(SENTENCES)


def test_the_neutral_sentences_hold_ten_words_and_none_of_any_organisms_secret():
    assert {len(sentence.split()) for sentence in SENTENCES} == {WORDS}
    assert len(set(SENTENCES)) == len(SENTENCES)
    used = {word for sentence in SENTENCES for word in sentence.lower().rstrip(".").split()}
    assert "train" in used
    for recipe in RECIPES.values():
        secret = " ".join([recipe.trigger, *recipe.keys]).lower().split()
        if recipe.scheme == "year":  # the other words of a date are anybody's
            secret = [word.strip(".") for word in secret if word.strip(".").isdigit()]
        assert not used & set(secret), recipe.name


def test_a_passage_takes_no_sentence_twice():
    text = passage(SENTENCES, 240, random.Random(0))
    parts = [f"{part.strip()}." for part in text.split(".")[:-1]]
    assert len(parts) == len(set(parts)) == 24
    assert set(parts) <= set(SENTENCES)
