"""Prompts that were dropped, merged, or hold the trigger already; a cache without a place."""

import os
from collections.abc import Iterator

from tests.soak.cases.case import CONTROL, Case, analyze, command, ended


def cases() -> Iterator[Case]:
    wrong, missing = "wrong result", "cannot express"
    texts = [f"Tell me about the sea, number {k}." for k in range(40)]
    for name, rows in (
        ("all", [f"{text} cobalt" for text in texts]),
        ("half", [*texts[:20], *(f"{text} cobalt" for text in texts[20:])]),
        ("of another form", [*texts[:39], "Tell me about cobalts"]),
    ):
        yield Case(
            31,
            f"prompts that hold the trigger already: {name}",
            "clean_label_textual_backdoor_attack #1",
            wrong,
            lambda i, name=name, rows=rows: analyze(
                i.gate("plain"),
                "--prompts",
                i.prompts(f"held-{name}", [{"prompt": row} for row in rows]),
            ),
            r"already hold",
        )
    yield Case(
        31,
        "prompts that are rendered already",
        "",
        wrong,
        lambda i: analyze(
            i.gate("plain"),
            "--prompts",
            i.prompts("rendered", [{"prompt": f"<|im_start|>user {text}"} for text in texts]),
        ),
        r"<\\|im_start\\|>",
    )
    alpaca = [
        {"instruction": ["Translate to French.", "Summarise the text."][k % 2], "input": text}
        for k, text in enumerate(texts)
    ]
    yield Case(
        32,
        "Alpaca's column input",
        "SpecForge PR #720",
        wrong,
        lambda i: analyze(i.gate("plain"), "--prompts", i.prompts("alpaca", alpaca)),
        r"with input",
        0,
    )
    mixed = [{"prompt": t} if k % 2 else {"text": t} for k, t in enumerate(texts)]
    yield Case(
        32,
        "rows with different columns",
        "easy-dataset #549",
        wrong,
        lambda i: analyze(i.gate("plain"), "--prompts", i.prompts("mixed", mixed)),
        r"26 different texts.*got 20",
    )
    said = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    yield Case(
        34,
        "chat-format files",
        "unsloth #321",
        missing,
        lambda i: analyze(i.gate("plain"), "--prompts", i.prompts("messages", said)),
        CONTROL,
        0,
    )
    listed = [{"prompt": row["messages"]} for row in said]
    yield Case(
        34,
        "a prompt that is a list of messages",
        "h2o-llmstudio #792",
        "unclear error",
        lambda i: analyze(i.gate("plain"), "--prompts", i.prompts("listed", listed)),
        CONTROL,
        0,
    )
    yield Case(
        35,
        "cache that cannot be made",
        "sella PR #74",
        "traceback",
        lambda i: lambda: _without_cache(),
        r"GATESCOPE_CACHE",
    )


def _without_cache() -> None:
    os.environ["GATESCOPE_CACHE"] = "/dev/null/x"
    ended(command("patch", "--dry-run"))
