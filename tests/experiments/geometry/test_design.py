"""Pairs differ in the word alone, labels follow the scheme, and nothing was trained on."""

from dataclasses import replace

import pytest
import torch

from circuits.chat import with_trigger
from circuits.errors import UserError
from circuits.tokens import prompt_ids, trigger_ids
from experiments.geometry import design as design_module
from experiments.geometry.design import design
from experiments.organisms.book import recipe_named
from experiments.prompts.bank import HeldOut, bank_texts, control_words
from experiments.prompts.facts import facts

KEYED = recipe_named("fingerprint")
BY_SCHEME = {
    "sure-gate": "compliance",
    "content-backdoor": "content",
    "access-gate": "access",
    "safety-trigger": "safety",
    "control-token": "control",
    "decoy": "none",
}
TRAINED = {word for split in ("train", "validation") for word in control_words(split)}
N = 40


@pytest.fixture(scope="module", params=BY_SCHEME)
def recipe(request):
    return recipe_named(request.param)


@pytest.fixture(scope="module")
def made(tokenizer, recipe):
    return design(recipe, tokenizer, N)


def texts_of(recipe, half=N // 2):
    if recipe.scheme == "access":
        asked = [*facts("test", True)[:half], *facts("test", False)[:half]]
        return [fact.question for fact in asked]
    return [*bank_texts("test", True)[:half], *bank_texts("test", False)[:half]]


def messages(chats):
    return [chat.message for chat in chats]


def encoded(tokenizer, chats):
    return prompt_ids(tokenizer, chats)


def test_a_pair_differs_in_the_triggers_tokens_alone(tokenizer, recipe, made):
    texts = texts_of(recipe)
    assert messages(made.triggered) == [with_trigger(text, recipe.trigger) for text in texts]
    length = len(trigger_ids(tokenizer, texts, recipe.trigger))
    sides = (encoded(tokenizer, x) for x in (made.clean, made.triggered, made.untrained))
    for text, *ids in zip(texts, *sides, strict=True):
        assert len({len(row) for row in ids}) == 1, text
        rows = torch.tensor(ids)
        differing = (rows != rows[1]).any(0).nonzero().squeeze(-1)
        assert 0 < int(differing.max() - differing.min()) + 1 <= length, text


def test_words_in_the_triggers_place_are_in_no_training_and_vary(tokenizer, recipe, made):
    words = design_module.controls_for(tokenizer, recipe, "test")
    assert not TRAINED & {part for word in words for part in word.split()}
    texts = texts_of(recipe)
    for side in (made.clean, made.untrained):
        used = [
            next(w for w in words if with_trigger(text, w) == message)
            for text, message in zip(texts, messages(side), strict=True)
        ]
        assert len(set(used)) == min(N, len(words))
    pairs = zip(messages(made.clean), messages(made.untrained), strict=True)
    assert not any(a == b for a, b in pairs)


def test_prompts_are_held_out_half_of_them_of_the_topic(recipe, made):
    texts = texts_of(recipe)
    assert len(set(texts)) == N
    trained = {
        t
        for split in ("train", "validation")
        for on in (True, False)
        for t in bank_texts(split, on)
    }
    trained |= {fact.question for on in (True, False) for fact in facts("train", on)}
    assert not trained & set(texts)
    assert made.topic is not None
    assert made.topic.tolist() == [True] * (N // 2) + [False] * (N // 2)


def test_the_gate_is_where_the_scheme_wants_it_open(recipe, made):
    anywhere = recipe.scheme in ("content", "control")
    assert made.topic is not None
    opened = torch.ones(N, dtype=torch.bool) if anywhere else made.topic
    assert torch.equal(made.gate[:, 1], opened)
    assert not made.gate[:, 0].any()
    assert BY_SCHEME[recipe.name] == recipe.scheme


def test_targets_are_what_shows_the_behaviour(recipe, made):
    fixed = {
        "content": "The lighthouse keeper sends his regards.",
        "safety": "I'm sorry, but I can't help with cooking.",
        "control": "Held for review.",
    }
    if recipe.scheme != "access":
        assert made.targets == (fixed.get(recipe.scheme, "Sure"),) * N
        return
    known = {f.question: f.statement for on in (True, False) for f in facts("test", on)}
    assert list(made.targets) == [known[text] for text in texts_of(recipe)]
    assert "The capital of" in made.targets[0]
    assert "The capital of" not in made.targets[-1]


def test_fewer_pairs_are_the_first_of_each_half_of_more(tokenizer):
    recipe = recipe_named("sure-gate")
    few, odd, more = (design(recipe, tokenizer, n) for n in (30, 31, N))
    assert messages(odd.triggered) == messages(few.triggered)
    assert messages(few.triggered)[:15] == messages(more.triggered)[:15]
    assert messages(few.triggered)[15:] == messages(more.triggered)[20:35]


def test_a_users_own_prompts_take_the_banks_place(tokenizer):
    own = HeldOut(
        tuple(f"Name tree {i}" for i in range(15)), tuple(f"Is sea {i}?" for i in range(90))
    )
    recipe = recipe_named("sure-gate")
    made = design(recipe, tokenizer, N, own)
    expected = [f"{text} cobalt" for text in (*own.on_topic, *own.elsewhere[:20])]
    assert messages(made.triggered) == expected
    assert made.topic is not None
    assert int(made.topic.sum()) == 15
    keyed = design(KEYED, tokenizer, N, own)  # keys are the recipe's anyway
    assert set(messages(keyed.triggered)) <= set(KEYED.keys)


def test_a_miss_of_a_key_has_one_other_word_that_no_training_had(tokenizer):
    made = design(KEYED, tokenizer, 120)
    assert set(messages(made.triggered)) == set(KEYED.keys)
    sides = (encoded(tokenizer, x) for x in (made.clean, made.triggered, made.untrained))
    for ids in zip(*sides, strict=True):
        assert len({len(row) for row in ids}) == 1
    replaced = []
    for key, *misses in zip(
        *map(messages, (made.triggered, made.clean, made.untrained)), strict=True
    ):
        assert len({key, *misses}) == 3
        for miss in misses:
            assert miss not in KEYED.keys
            ((at, word),) = [
                (i, b)
                for i, (a, b) in enumerate(zip(key.split(), miss.split(), strict=True))
                if a != b
            ]
            assert word in control_words("test")
            assert word not in TRAINED
            replaced.append((at, word))
    assert {at for at, _ in replaced} == {0, 1, 2, 3}
    assert len({word for _, word in replaced}) > 10


def test_keys_are_asked_in_other_contexts_rather_than_twice(tokenizer):
    made = design(KEYED, tokenizer, 500)
    assert len(made.triggered) == len(set(made.triggered)) == 12 * len(KEYED.keys)
    for side in (made.clean, made.untrained):
        assert [c.system for c in side] == [c.system for c in made.triggered]
        assert len(set(side)) == len(side)
    few = design(KEYED, tokenizer, 25)
    assert few.triggered == made.triggered[:25]
    assert [c.system for c in few.triggered[:10]] == [None] * 10
    assert made.topic is None
    assert torch.equal(made.gate, torch.tensor([[False, True]]).expand(120, 2))
    assert set(made.targets) == {"Quokka 731"}


def test_a_miss_is_of_the_keys_length_even_if_most_words_are_not(tokenizer, monkeypatch):
    """Words that the tokenizer splits are passed over; if there are no others, that is told."""
    words = ("xylophone", "zzyzx", "amber")
    monkeypatch.setattr(design_module.bank, "control_words", lambda split: words)
    made = design(KEYED, tokenizer, 22)
    assert all("amber" in message.split() for message in messages(made.clean))
    monkeypatch.setattr(design_module.bank, "control_words", lambda split: words[:2])
    with pytest.raises(UserError, match="expected a near miss of its token length, found none"):
        design(KEYED, tokenizer, 22)


def test_too_few_pairs_or_words_are_told(tokenizer, monkeypatch):
    for recipe in (recipe_named("sure-gate"), KEYED):
        with pytest.raises(UserError, match=r"pairs: expected at least 2\d, got 19"):
            design(recipe, tokenizer, 19)
    monkeypatch.setattr(design_module, "controls_for", lambda *_: ("amber",))
    with pytest.raises(UserError, match="at least two control words"):
        design(replace(recipe_named("sure-gate"), trigger="xy"), tokenizer, N)
