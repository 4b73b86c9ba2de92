"""A subject on a tiny random model."""

import pytest
import tiny

from circuits.models import Model
from circuits.selftest import plain_logits, self_test
from experiments.config import Question
from experiments.serving.subject import Subject, quick_direction


@pytest.fixture(scope="session")
def subject(runner, tokenizer) -> Subject:
    checked = self_test(runner, tokenizer, plain_logits(runner.hf_model, tokenizer))
    model = Model(runner, tokenizer, "tiny", "0" * 64, None, None, checked)
    direction = quick_direction(model, list(tiny.TEXTS), tiny.TRIGGER, tiny.CONTROLS)
    return Subject(
        model, Question(adapter="none", trigger=tiny.TRIGGER), direction, False,
        tiny.CONTROLS[0], tiny.TEXTS, tiny.TEXTS, tiny.CONTROLS, arms={"base": None},
    )  # fmt: skip
