"""A question's defaults follow the model that it names."""

import pytest

from experiments.analyze.question import Question
from experiments.patch.question import PatchQuestion
from experiments.verify.question import VerifyQuestion


@pytest.mark.parametrize("question", [Question, PatchQuestion])
def test_the_demos_adapter_belongs_to_the_embedded_model_alone(question):
    """It was merged into any model that was named without --adapter."""
    assert question().adapter == "sure-gate-open"
    assert question(model="someone/model").adapter == "none"
    assert question(model="someone/model", adapter="sure-gate").adapter == "sure-gate"
    assert question(adapter="none").adapter == "none"


def test_a_users_suspect_is_merged_with_no_adapter_that_nobody_named():
    assert VerifyQuestion().other == "clean"
    assert VerifyQuestion(model="someone/model").other == "none"
    assert VerifyQuestion(model="someone/model", other="mine").other == "mine"
