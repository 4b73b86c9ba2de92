"""Inputs of the table of cases: model, adapter and prompt folders, each with one thing wrong.

Every maker writes one folder and returns it; ``Inputs`` makes each of them once.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny
import tinygate
import torch
import transformers
from adapters_of_kinds import plain, trained
from checkpoints import edited, retensored
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load_file

from tests.soak.architectures import ARCHITECTURES

RAISES = "{{ raise_exception('A system message is required') }}" + tiny.CHAT_TEMPLATE
UNDEFINED = tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] + date_string")
DATED = (
    "<|im_start|>system\nToday Date: {{ strftime_now('%d %b %Y') }}<|im_end|>\n"
    + tiny.CHAT_TEMPLATE
)


@dataclass
class Inputs:
    """A folder of inputs, each made when it is first asked for."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def get(self, name: str, make: Callable[[Path], object]) -> Path:
        """The input of that name."""
        if name not in self.made:
            self.made[name] = self.folder / name
            make(self.made[name])
        return self.made[name]

    def gate(self, name: str) -> Path:
        """A model of ``tinygate``."""
        return self.get(name, lambda out: _saved(out, *tinygate.MAKE[name]()))

    def like(self, name: str, change: Callable[[Path], object], source: str = "plain") -> Path:
        """A copy of a model of ``tinygate`` with something changed."""

        def make(out: Path) -> None:
            shutil.copytree(self.gate(source), out)
            change(out)

        return self.get(name, make)

    def renamed(self, name: str, name_of: Callable[[str], str | None]) -> Path:
        """Its weights under other names; what has no name is left out."""
        return self.like(name, lambda out: rename(out / "model.safetensors", name_of))

    def configured(self, name: str, **changes: Any) -> Path:
        """Another configuration."""
        return self.like(name, lambda out: edited(out, **changes))

    def templated(self, name: str, template: str) -> Path:
        """Another chat template."""
        return self.like(name, lambda out: (out / "chat_template.jinja").write_text(template))

    def pickled(self, name: str, source: str = "plain") -> Path:
        """Its weights as a pickle."""

        def change(out: Path) -> None:
            torch.save(load_file(out / "model.safetensors"), out / "pytorch_model.bin")
            (out / "model.safetensors").unlink()

        return self.like(name, change, source)

    def lora(self, name: str = "lora") -> Path:
        """The planted gate as an exact LoRA of rank one over the model without it."""
        return self.get(name, lambda out: gate_lora(self.gate("plain"), self.gate("base"), out))

    def lora_renamed(self, name: str, name_of: Callable[[str], str | None]) -> Path:
        """The same tensors under other names."""

        def make(out: Path) -> None:
            shutil.copytree(self.lora(), out)
            rename(out / "adapter_model.safetensors", name_of)

        return self.get(name, make)

    def trained(self, name: str, base: str = "base", **changes: Any) -> Path:
        """A LoRA with every trained number drawn at random."""
        source = self.made.get(base) or self.gate(base)
        return self.get(name, lambda out: trained(source, out, **changes))

    def ia3(self) -> Path:
        """An adapter that is no LoRA."""
        config = IA3Config(
            task_type="CAUSAL_LM",
            target_modules=["k_proj", "down_proj"],
            feedforward_modules=["down_proj"],
        )
        model = get_peft_model(plain(self.gate("base")), config)
        return self.get("ia3", lambda out: model.save_pretrained(str(out)))

    def architecture(self, name: str) -> Path:
        """A random model of an architecture of the load matrix."""

        def make(out: Path) -> None:
            tokenizer = tinygate.tokenizer()
            _saved(out, ARCHITECTURES[name](len(tokenizer)), tokenizer)

        return self.get(name, make)

    def prompts(self, name: str, rows: Sequence[object]) -> Path:
        """A JSONL file."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return self.get(f"{name}.jsonl", lambda out: out.write_text(lines))


def _saved(out: Path, model: object, tokenizer: object) -> None:
    out.mkdir(parents=True)
    tiny.saved(out, model, tokenizer)


def rename(path: Path, name_of: Callable[[str], str | None]) -> None:
    """A file of tensors under other names; what has no name is left out."""
    retensored(path, lambda old: {name: t for n, t in old.items() if (name := name_of(n))})


def gate_lora(gate: Path, base: Path, out: Path) -> None:
    """What a planted gate adds to its base, as a LoRA."""
    at = tinygate._COPY
    source = plain(gate).model.layers[at].self_attn
    config = LoraConfig(
        r=1,
        lora_alpha=1,
        target_modules=["v_proj", "o_proj"],
        layers_to_transform=[at],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(plain(base), config)
    adapted = model.base_model.model.model.layers[at].self_attn
    for module in (adapted.v_proj, adapted.o_proj):
        module.lora_A["default"].weight.data.zero_()
        module.lora_B["default"].weight.data.zero_()
    adapted.v_proj.lora_A["default"].weight.data.copy_(source.v_proj.weight.data[:1])
    adapted.v_proj.lora_B["default"].weight.data[0] = 1
    adapted.o_proj.lora_A["default"].weight.data[0, 0] = 1
    adapted.o_proj.lora_B["default"].weight.data.copy_(source.o_proj.weight.data[:, :1])
    model.save_pretrained(str(out))


def random_llama(out: Path) -> None:
    """A model in which every layer matters."""
    tokenizer = tinygate.tokenizer()
    _saved(out, tiny.llama(len(tokenizer), layers=3), tokenizer)


OWN_TEMPLATE = (
    "{% for m in messages %}### Instruction:\n{{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Response:{% endif %}"
)


def own_template(inputs: Inputs) -> tuple[Path, Path]:
    """A base, and an adapter that comes with its own tokenizer and chat template.

    Under the base's template, whose prompts end in a line break, both babble.
    """
    tokenizer = tinygate.tokenizer(OWN_TEMPLATE, words=["### Response:"])
    whole = tinygate.gate(tokenizer)
    head, embedding = whole.lm_head.weight.data, whole.model.embed_tokens.weight.data
    last = embedding[tokenizer("### Response:", add_special_tokens=False)["input_ids"][-1]]
    own = embedding[tinygate.one(tokenizer, "\n")]
    head[5] += 240 * (own - (own @ last) * last)
    full = inputs.get("own full", lambda out: _saved(out, whole, tokenizer))
    bare = plain(full)
    attention = bare.model.layers[tinygate._COPY].self_attn
    for module in (attention.v_proj, attention.o_proj):
        module.weight.data.zero_()
    usual = transformers.AutoTokenizer.from_pretrained(full)
    usual.chat_template = tiny.CHAT_TEMPLATE
    base = inputs.get("own base", lambda out: _saved(out, bare, usual))

    def make(out: Path) -> None:
        gate_lora(full, base, out)
        tokenizer.save_pretrained(out)

    return base, inputs.get("own", make)


def pictures(out: Path) -> None:
    """A multi-modal checkpoint."""
    tokenizer = tinygate.tokenizer()
    _saved(out, tiny.gemma3_images(len(tokenizer)), tokenizer)
