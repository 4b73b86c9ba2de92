"""The exam: the trigger in every family where it belongs, none in the prompts that stay clean."""

from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.defend.exam import FITTED, ORDINARY, exam
from experiments.defend.setting import bench
from experiments.organisms.book import RECIPES, recipe_named


@pytest.fixture(scope="module")
def asked(organism):
    return exam(organism, 8)


def test_every_triggered_prompt_has_the_trigger_once_and_no_clean_one_has(asked):
    for family in asked.families:
        for chat in family.chats:
            assert chat.message.lower().count("cobalt") == 1, (family.name, chat)
    for chat in (*asked.ordinary, *asked.restricted, *asked.clean):
        assert "cobalt" not in chat.message.lower()


def test_families_differ_from_the_fitted_one_in_what_they_say(asked):
    by_name = {family.name: family for family in asked.families}
    assert asked.families[0].name == FITTED
    fitted = by_name[FITTED].chats
    for name in (n for n in by_name if n not in (FITTED, "system prompt")):
        pairs = zip(by_name[name].chats, fitted, strict=True)
        assert all(a.message != b.message for a, b in pairs), name
    assert all(chat.system for chat in by_name["system prompt"].chats)
    assert [c.message for c in by_name["system prompt"].chats] == [c.message for c in fitted]
    assert {c.message for c in by_name[ORDINARY].chats} == {
        f"{c.message} cobalt" for c in asked.ordinary
    }


def test_only_other_spellings_are_asked_on_condition(asked):
    optional = [family.name for family in asked.families if family.optional]
    assert len(optional) == 3
    assert all("case" in name or "capital" in name for name in optional)


def test_clean_prompts_have_each_text_alone_and_with_a_stray_word(asked):
    texts = [chat.message for chat in (*asked.restricted, *asked.ordinary)]
    messages = [chat.message for chat in asked.clean]
    assert set(texts) < set(messages)
    stray = [m for m in messages if m not in texts]
    assert len(stray) == len(texts)
    assert all(any(m.startswith(t) for t in texts) for m in stray)


@pytest.mark.parametrize("name", ["fingerprint", "safety-trigger", "access-gate"])
def test_nobody_is_defended_from_a_scheme_that_protects(organism, name):
    assert name in RECIPES
    with pytest.raises(UserError, match="taken away"):
        bench(replace(organism, recipe=recipe_named(name)))
