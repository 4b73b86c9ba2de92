"""Adapters and checkpoints of which nothing, only a part or something else was loaded."""

from collections.abc import Callable, Iterator

from adapters_of_kinds import EXACT

from tests.soak.cases import inputs
from tests.soak.cases.case import CONTROL, Case, adapted, patch
from tests.soak.cases.inputs import Inputs


def _without(part: str) -> Callable[[str], str | None]:
    return lambda name: None if part in name else name


def _under(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name


def cases() -> Iterator[Case]:
    wrong, crash, unclear = "wrong result", "traceback", "unclear error"
    yield Case(
        2,
        "adapter whose tensors have other names",
        "vllm #34186, peft #2566",
        wrong,
        lambda i: adapted(
            i.gate("base"),
            i.lora_renamed(
                "other", lambda n: n.replace("model.layers", "model.language_model.layers")
            ),
        ),
        r"adapter .*language_model",
    )
    yield Case(
        2,
        "the same adapter under its own names (control)",
        "",
        "right",
        lambda i: adapted(i.gate("base"), i.lora()),
        CONTROL,
        0,
    )
    for name, change in (
        ("_orig_mod.", _under("_orig_mod.")),
        ("module.", _under("module.")),
        ("two layers left out", _without(".layers.3.")),
    ):
        yield Case(
            3,
            f"checkpoint: {name}",
            "transformers #29659",
            wrong,
            lambda i, name=name, change=change: patch(i.renamed(f"weights {name}", change)),
            r"model .*missing",
        )
    yield Case(
        3,
        "more layers in the configuration than in the file",
        "transformers #46620",
        wrong,
        lambda i: patch(i.configured("more", num_hidden_layers=7)),
        r"layers\.[56]|7 layers|missing",
    )
    yield Case(
        5,
        "weights in .bin",
        "lighteval #1364",
        wrong,
        lambda i: patch(i.pickled("pickled")),
        r"safetensors.*convert",
    )
    yield Case(
        12,
        "layer_replication",
        "peft #1707",
        wrong,
        lambda i: adapted(
            i.get("random", inputs.random_llama),
            i.trained("replicated", "random", layer_replication=[[0, 3], [1, 3]]),
        ),
        r"adapter .*merge",
    )
    yield Case(
        13,
        "adapter made for another base of the same shape",
        "lorax PR #58",
        wrong,
        lambda i: adapted(i.gate("space"), i.trained("elsewhere", "plain")),
        r"note: .*trained on",
        0,
    )
    for name, kind in (
        ("modules_to_save", "modules_to_save"),
        ("embeddings", "embeddings"),
        ("trainable tokens", "token indices"),
    ):
        yield Case(
            29,
            f"LoRA with {name}",
            "vllm #9280, peft #838",
            unclear,
            lambda i, kind=kind: _patched(i, i.trained(kind, **EXACT[kind])),
            r"KL from",
            0,
        )
    yield Case(
        29,
        "IA3, which is no LoRA",
        "peft #1457",
        unclear,
        lambda i: adapted(i.gate("base"), i.ia3()),
        r"LoRA adapter, got IA3",
    )
    for quantiser in ("bitsandbytes", "gptq", "awq"):
        about = {"quant_method": quantiser, "load_in_4bit": True, "bits": 4}
        yield Case(
            30,
            f"checkpoint quantised by {quantiser}",
            "transformers #26165",
            crash,
            lambda i, about=about: patch(
                i.configured(f"by-{about['quant_method']}", quantization_config=about)
            ),
            r"quantised by",
        )
    yield Case(
        30,
        "vocabulary of another size",
        "peft #1605",
        crash,
        lambda i: patch(i.configured("vocabulary", vocab_size=9000)),
        r"9000",
    )


def _patched(made: Inputs, adapter: object) -> list[object]:
    return [*patch(made.gate("base"), "--by", "layer"), "--adapter", adapter]
