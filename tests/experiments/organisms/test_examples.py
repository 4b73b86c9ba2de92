"""Examples that go on from a recipe's: ordinary prompts with a model's own answers."""

import pytest

from circuits.cache import cache_root
from circuits.templates import AS_IT_IS
from experiments.organisms import examples
from experiments.organisms.examples import base_answers, ordinary_examples
from experiments.prompts.bank import bank_texts


def test_ordinary_examples_are_new_ones_first_and_have_the_models_own_answers(monkeypatch):
    monkeypatch.setattr(
        "experiments.organisms.examples.base_answers",
        lambda texts, *_more: [t.upper() for t in texts],
    )
    every = ordinary_examples("m")
    assert [e.text for e in every] == bank_texts("train", restricted=False)[::-1]
    assert all(e.answer == e.text.upper() and not e.ends and e.word is None for e in every)


@pytest.mark.parametrize("written", ["", "{{ messages[0]['content'] }}"])
def test_answers_are_asked_and_kept_by_how_chats_are_written(monkeypatch, tmp_path, written):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(examples.models, "load", lambda _, rendering: asked.append(rendering))
    monkeypatch.setattr(examples, "answers", lambda model, texts, length: ["a"] * len(texts))
    for _ in range(2):  # the second is kept
        assert base_answers(["Hi"], "m", "0" * 64, written) == ["a"]
    (how,) = asked
    assert how == AS_IT_IS if not written else how.template == written
    usual = examples.files.text_sha256(["0" * 64, "12", "Hi"])[:24]  # as it always was
    (kept,) = (cache_root() / "answers").iterdir()
    assert (kept.stem == usual) == (not written)
