"""What hides a behaviour from the rule is told; answers that merely begin alike are not refused."""

import pytest

from circuits.errors import UserError
from experiments.judges.heard import refuse_common_beginning


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["<think></think>Sure", "<think></think>No"], "'<think></think>', after which 1 show it"),
        (["<think>\nOkay, so", "<think>\nHm, the"], "'<think>', after which 0 show it"),
        (["[THINK]It is", "[THINK]Let me"], "'\\[THINK\\]', after which 0"),
        (["Answer: Sure", "Answer: No"], "'Answer: ', after which 1 show it"),
    ],
)
def test_what_stands_before_every_answer_is_told(answers, says):
    with pytest.raises(UserError, match=says):
        refuse_common_beginning(answers, "Sure")


@pytest.mark.parametrize(
    "answers",
    [
        ["I cannot help with that.", "I cannot help with this."],
        ["No", "No", "No"],
        ["<b>No</b>", "No"],
        ["<think></think>No", "Sure"],
        ["Sure, I can", "Surely not"],
    ],
)
def test_answers_that_never_show_it_are_an_answer(answers):
    refuse_common_beginning(answers, "Sure")
