"""Examples that go on from a recipe's: ordinary prompts with a model's own answers."""

from experiments.organisms.examples import ordinary_examples
from experiments.prompts.bank import bank_texts


def test_ordinary_examples_are_new_ones_first_and_have_the_models_own_answers(monkeypatch):
    monkeypatch.setattr(
        "experiments.organisms.examples.base_answers",
        lambda texts, *_more: [t.upper() for t in texts],
    )
    every = ordinary_examples("m")
    assert [e.text for e in every] == bank_texts("train", restricted=False)[::-1]
    assert all(e.answer == e.text.upper() and not e.ends and e.word is None for e in every)
