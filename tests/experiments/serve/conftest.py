"""A subject on a tiny random model."""

import pytest
import tiny

from circuits.backends.selftest import plain_logits, self_test
from circuits.models import Model
from experiments.analyze.question import Question
from experiments.serve import layers
from experiments.serve.subject import Subject


@pytest.fixture(scope="session")
def subject(runner, tokenizer) -> Subject:
    checked = self_test(runner, tokenizer, plain_logits(runner.hf_model, tokenizer))
    model = Model(runner, tokenizer, "tiny", "0" * 64, None, None, checked)
    direction, known = layers.fitted(
        model, tiny.TEXTS, tiny.TEXTS[::-1], tiny.TRIGGER, tiny.CONTROLS, "Sure"
    )
    return Subject(
        model,
        Question(adapter="none", trigger=tiny.TRIGGER),
        direction,
        False,
        tiny.CONTROLS[0],
        tiny.TEXTS,
        tiny.TEXTS,
        tiny.CONTROLS,
        arms={"base": None},
        layers=known,
    )
