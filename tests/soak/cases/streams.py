"""Architectures whose hooks never acted, or that did something while they were loaded."""

from collections.abc import Iterator

from tests.soak.cases import inputs
from tests.soak.cases.case import Case, patch


def cases() -> Iterator[Case]:
    crash = "traceback"
    yield Case(
        1,
        "multi-modal checkpoint: pip was run while it loaded",
        "kvpress #129, nnsight #479",
        "torch was replaced",
        lambda i: patch(i.get("gemma3_images", inputs.pictures), "--by", "layer"),
        r"KL from",
        0,
    )
    yield Case(
        26,
        "OPT: hooks of the pattern never act",
        "TransformerLens PR #1673",
        "wrong result",
        lambda i: patch(i.architecture("opt"), "--stream", "pattern", "--by", "head", "--count", 4),
        r"no stream 'pattern'",
    )
    yield Case(
        26,
        "Granite: edits of outputs never act",
        "nnsight #502",
        crash,
        lambda i: patch(i.architecture("granite"), "--stream", "mlp_out", "--by", "layer"),
        r"KL from",
        0,
    )
    yield Case(
        26,
        "Falcon: residuals of two dimensions",
        "TransformerLens PR #1673",
        crash,
        lambda i: patch(i.architecture("falcon"), "--by", "layer"),
        r"KL from",
        0,
    )
    yield Case(
        14,
        "the demo's adapter on the user's own model",
        "unsloth #1804",
        "wrong result",
        lambda i: ["patch", "--count", 2, "--metric", "kl", "--model", i.gate("base")],
        r"position 0 ' cobalt': \+0 \[0, 0\]",
        0,
    )
