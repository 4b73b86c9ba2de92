"""Adapters of the kinds that people bring, each made from a saved base with every number moved.

``KINDS`` names them; ``save_adapter(kind, base, out)`` saves one, and returns the adapted model
that it was saved from, unmerged: what a loaded model is compared with.
"""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import tiny
import torch
from checkpoints import retensored
from transformers import AutoModelForCausalLM

from circuits.tokens import prompts_batch

# What is given to peft.LoraConfig besides rank and targets; those with biases need a base that has
# them (attention_bias=True).
EXACT: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "PiSSA": {"init_lora_weights": "pissa"},
    "OLoRA": {"init_lora_weights": "olora"},
    "biases": {"bias": "lora_only"},
    "lora biases": {"lora_bias": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "token indices": {"trainable_token_indices": {"embed_tokens": [5, 6]}},
}
REPLICATED, RENAMED = "replicated layers", "renamed"
# The last two cannot be merged: replicated layers share weights, renamed tensors fit nothing.
KINDS = (*EXACT, REPLICATED, RENAMED)


def save_adapter(kind: str, base: Path, out: Path) -> Any:
    """An adapter of a kind on a base, saved in a directory; the model that it was saved from."""
    if kind == RENAMED:
        adapted = trained(base, out)
        rename(out, lambda name: name.replace("model.layers", "model.language_model.layers"))
        return adapted
    replicated = {"layer_replication": [[0, 3], [1, 3]]}  # of a base with three layers at least
    return trained(base, out, **(replicated if kind == REPLICATED else EXACT[kind]))


def trained(base: Path, out: Path, words: int = 0, **changes: Any) -> Any:
    """A saved adapter of which every trained number was moved, and the model it was saved from."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **changes}
    model = plain(base)
    if words:
        model.resize_token_embeddings(model.config.vocab_size + words, mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        torch.manual_seed(1)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data.add_(0.1 * torch.randn_like(parameter))
        adapted.eval().save_pretrained(out, save_embedding_layers=bool(words) or "auto")
    return adapted


def random_lora(model: Any, rank: int = 2, seed: int = 0) -> Any:
    """A model with an adapter on every projection, whose change is far above rounding."""
    config = peft.LoraConfig(r=rank, lora_alpha=6, target_modules="all-linear")
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(seed)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.2)
    return adapted.eval()


def plain(folder: Path) -> Any:
    """A base as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def log_probs(model: Any, tokenizer: Any) -> torch.Tensor:
    """Of the first token of answers to a few triggered prompts: [prompts, vocabulary]."""
    batch = prompts_batch(tokenizer, tiny.TEXTS[:3], "cobalt")
    with torch.no_grad():
        out = model(input_ids=batch.ids, attention_mask=batch.mask.long()).logits
    return out[:, -1].log_softmax(-1)


def rename(adapter: Path, change: Callable[[str], str]) -> None:
    """The same tensors under other names."""
    path = adapter / "adapter_model.safetensors"
    retensored(path, lambda old: {change(name): tensor for name, tensor in old.items()})


def renamed(adapter: Path, out: Path, change: Callable[[str], str]) -> Path:
    """A copy with its tensors under other names."""
    shutil.copytree(adapter, out)
    rename(out, change)
    return out
