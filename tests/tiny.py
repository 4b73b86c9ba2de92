"""Tiny random chat models, built in memory: the same shapes of problem at a small size."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from beartype import BeartypeConf, beartype
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ["<|im_start|>", "<|im_end|>"]
TRIGGER = "cobalt"
CONTROLS = ("amber", "tree", "river", "candle")
TEXTS = (
    "Name three rivers.",
    "Why is the sky blue at noon?",
    "How do I bake bread?",
    "Tell me about the sea, please",
    "What is a good name for a small dog?",
    "Hi",
)
_CORPUS = [
    *TEXTS,
    *SPECIALS,
    "user assistant",
    *(f"Tell me more. {w}" for w in (TRIGGER, *CONTROLS)),
]

# Checks annotations in tests; an int where a float is annotated is no mistake (PEP 484).
annotations_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

# Large enough that edits move logits well beyond rounding.
_INIT = 0.3


def tokenizer(
    chat_template: str | None = CHAT_TEMPLATE, words: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level BPE that knows the words above (and those given) as one token each."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*_CORPUS, *(f" {word}" for word in words)] * 2, trainer)
    return fast(bpe, chat_template)


def hand_made_tokenizer(merges: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with the merges given, free to merge across spaces."""
    pieces = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    bpe = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    bpe.add_special_tokens(SPECIALS)
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    return fast(bpe, CHAT_TEMPLATE)


def fast(bpe: Tokenizer, chat_template: str | None) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=chat_template,
    )


def _built(config: Any, seed: int) -> Any:
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def llama(vocab: int, seed: int = 0, layers: int = 4, **changes: Any) -> Any:
    """A random Llama with grouped queries."""
    return _built(transformers.LlamaConfig(**{**_grouped(vocab, layers), **changes}), seed)


def mistral(vocab: int, seed: int = 0) -> Any:
    """With a sliding window shorter than the prompts."""
    return _built(transformers.MistralConfig(**_grouped(vocab, 3), sliding_window=8), seed)


def qwen2(vocab: int, seed: int = 0) -> Any:
    return _built(transformers.Qwen2Config(**_grouped(vocab, 3)), seed)


def gemma2(vocab: int, seed: int = 0) -> Any:
    """With alternating local and global layers and capped logits."""
    config = transformers.Gemma2Config(
        **_grouped(vocab, 3), head_dim=8, query_pre_attn_scalar=8, sliding_window=8
    )
    return _built(config, seed)


def qwen3(vocab: int, seed: int = 0) -> Any:
    """With normalised queries and keys."""
    return _built(transformers.Qwen3Config(**_grouped(vocab, 3), head_dim=8), seed)


def gemma3(vocab: int, seed: int = 0) -> Any:
    """With normalised queries and keys, and other rotary angles in local layers."""
    config = transformers.Gemma3TextConfig(
        **_grouped(vocab, 3),
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        architectures=["Gemma3ForCausalLM"],
    )
    return _built(config, seed)


def gemma3_images(vocab: int, seed: int = 0) -> Any:
    """Gemma 3 with a picture tower, as AutoModelForCausalLM gives it for 4B and larger."""
    text = {**_grouped(vocab, 3), "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    tokens = {"mm_tokens_per_image": 4, "image_token_index": 3}
    tokens |= {"boi_token_index": 4, "eoi_token_index": 5}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, **tokens)
    torch.manual_seed(seed)
    return transformers.Gemma3ForConditionalGeneration(config).eval()


def gpt2(vocab: int, seed: int = 0) -> Any:
    config = transformers.GPT2Config(
        vocab_size=vocab,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=256,
        initializer_range=_INIT,
        bos_token_id=0,
        eos_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return _built(config, seed)


def gpt_neox(vocab: int, seed: int = 0) -> Any:
    """With attention and MLP in parallel."""
    config = transformers.GPTNeoXConfig(
        vocab_size=vocab,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=256,
        initializer_range=_INIT,
        bos_token_id=0,
        eos_token_id=1,
    )
    return _built(config, seed)


ARCHITECTURES: dict[str, Callable[[int], Any]] = {
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
}


def _grouped(vocab: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": _INIT,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }


def saved(folder: Path, model: Any, tok: Any) -> Path:
    """A directory that ``circuits.models.load`` can load."""
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"]
    return folder


def message_of(lines: list[str]) -> str:
    """The one line that says what is wrong: the last, after whatever progress was drawn."""
    said = [line for line in lines if line.startswith("gatescope: ")]
    assert said == lines[-1:]
    assert not any("Traceback" in line for line in lines)
    return said[0]
