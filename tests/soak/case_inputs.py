"""Inputs of the table of cases: model, adapter and prompt folders, each with one thing wrong.

Every maker writes one folder and returns it; ``Inputs`` makes each of them once.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tiny
import tinygate
import torch
import transformers
from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
_TARGETS = ["q_proj", "v_proj"]
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

    def renamed(self, name: str, rename: Callable[[str], str | None]) -> Path:
        """Its weights under other names; what has no name is left out."""
        return self.like(name, lambda out: rewrite(out / "model.safetensors", rename))

    def configured(self, name: str, **changes: object) -> Path:
        """Another configuration."""
        return self.like(name, lambda out: configure(out, changes))

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

    def lora_renamed(self, name: str, rename: Callable[[str], str | None]) -> Path:
        """The same tensors under other names."""

        def make(out: Path) -> None:
            shutil.copytree(self.lora(), out)
            rewrite(out / "adapter_model.safetensors", rename)

        return self.get(name, make)

    def trained(self, name: str, config: PeftConfig, base: str = "base") -> Path:
        """An adapter of some kind with every trained number drawn at random."""
        source = self.made.get(base) or self.gate(base)
        return self.get(name, lambda out: drawn(source, config, out))

    def architecture(self, name: str, config: Callable[[int], object]) -> Path:
        """A random model of an architecture."""

        def make(out: Path) -> None:
            tokenizer = tinygate.tokenizer()
            built = config(len(tokenizer))
            built._attn_implementation = "eager"
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(built, dtype=torch.float32)
            _saved(out, model.eval(), tokenizer)

        return self.get(name, make)

    def prompts(self, name: str, rows: list[object]) -> Path:
        """A JSONL file."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return self.get(f"{name}.jsonl", lambda out: out.write_text(lines))


def _saved(out: Path, model: object, tokenizer: object) -> None:
    out.mkdir(parents=True)
    tiny.saved(out, model, tokenizer)


def rewrite(path: Path, rename: Callable[[str], str | None]) -> None:
    """A file of tensors under other names."""
    tensors = {name: t.contiguous() for old, t in load_file(path).items() if (name := rename(old))}
    save_file(tensors, path, metadata={"format": "pt"})


def configure(folder: Path, changes: Mapping[str, object]) -> None:
    """Changes in config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def gate_lora(gate: Path, base: Path, out: Path) -> None:
    """What a planted gate adds to its base, as a LoRA."""
    at = tinygate._COPY
    source = transformers.AutoModelForCausalLM.from_pretrained(gate).model.layers[at].self_attn
    config = LoraConfig(
        r=1,
        lora_alpha=1,
        target_modules=["v_proj", "o_proj"],
        layers_to_transform=[at],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config)
    adapted = model.base_model.model.model.layers[at].self_attn
    for module in (adapted.v_proj, adapted.o_proj):
        module.lora_A["default"].weight.data.zero_()
        module.lora_B["default"].weight.data.zero_()
    adapted.v_proj.lora_A["default"].weight.data.copy_(source.v_proj.weight.data[:1])
    adapted.v_proj.lora_B["default"].weight.data[0] = 1
    adapted.o_proj.lora_A["default"].weight.data[0, 0] = 1
    adapted.o_proj.lora_B["default"].weight.data.copy_(source.o_proj.weight.data[:, :1])
    model.save_pretrained(out)


def drawn(base: Path, config: PeftConfig, out: Path) -> None:
    """An adapter with noise in everything that it trains."""
    model = get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.add_(0.1 * noise)
    model.save_pretrained(out)


def lora_of(**changes: object) -> LoraConfig:
    """A small LoRA with changes."""
    small = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "target_modules": _TARGETS}
    return LoraConfig(**{**small, **changes})  # pyright: ignore[reportArgumentType]


def random_llama(out: Path) -> None:
    """A model in which every layer matters."""
    tokenizer = tinygate.tokenizer()
    _saved(out, tiny.llama(len(tokenizer), layers=3), tokenizer)


def ia3() -> IA3Config:
    """An adapter that is no LoRA."""
    return IA3Config(
        task_type="CAUSAL_LM",
        target_modules=["k_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    )


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
    bare = transformers.AutoModelForCausalLM.from_pretrained(full)
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


def gemma3_images(out: Path) -> None:
    """A multi-modal checkpoint."""
    tokenizer = tinygate.tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "head_dim": 8,
        "model_type": "gemma3_text",
        "query_pre_attn_scalar": 8,
        "sliding_window": 8,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=4,
        image_token_index=3,
        boi_token_index=4,
        eoi_token_index=5,
    )
    torch.manual_seed(0)
    _saved(out, transformers.Gemma3ForConditionalGeneration(config).eval(), tokenizer)
