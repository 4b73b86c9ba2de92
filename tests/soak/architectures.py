"""Tiny random models of many architectures, and tokenizers of the families that they come with."""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import tiny
import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_GROUPED = _SMALL | {"num_key_value_heads": 2, "pad_token_id": 1}
_HEADS = _GROUPED | {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
_GPT = {
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
}
_NEO = {
    "hidden_size": 32,
    "num_layers": 4,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 2]],
    "window_size": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    **dict.fromkeys(("resid_dropout", "embed_dropout", "attention_dropout"), 0.0),
}
_OPT = {
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "word_embed_proj_dim": 32,
    "max_position_embeddings": 256,
    "init_std": 0.3,
    "dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_FALCON = {k: v for k, v in _SMALL.items() if k != "intermediate_size"}
_BLOOM = {
    "hidden_size": 32,
    "n_layer": 3,
    "n_head": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
}
_MPT = {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 256, "initializer_range": 0.3}
_GLM_MOE = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
_QUERY = {"query_pre_attn_scalar": 8, "sliding_window": 8}
_DRY = dict.fromkeys(("resid_pdrop", "embd_pdrop"), 0.0)

# Name -> the configuration's class, its values, and the tokenizer's family.
_TABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("Llama", _GROUPED, "unigram"),
    "mistral": ("Mistral", _GROUPED | {"sliding_window": 8}, "unigram"),
    "qwen2": ("Qwen2", _GROUPED, "byte-level"),
    "qwen3": ("Qwen3", _HEADS, "byte-level"),
    "gemma": ("Gemma", _HEADS, "unigram"),
    "gemma2": ("Gemma2", _HEADS | _QUERY, "unigram"),
    "gemma3": ("Gemma3Text", _HEADS | _QUERY | {"layer_types": _MIXED}, "unigram"),
    "gpt2": ("GPT2", _GPT, "byte-level"),
    "gpt_neox": ("GPTNeoX", _SMALL, "byte-level"),
    "gptj": ("GPTJ", _GPT | {"rotary_dim": 4}, "byte-level"),
    "gpt_neo": ("GPTNeo", _NEO, "byte-level"),
    "gpt_bigcode": ("GPTBigCode", _GPT, "byte-level"),
    "opt": ("OPT", _OPT, "byte-level, BOS"),
    "bloom": ("Bloom", _BLOOM, "byte-level"),
    "mpt": ("Mpt", _MPT, "byte-level"),
    "falcon": ("Falcon", _FALCON, "byte-level"),
    "falcon, grouped": (
        "Falcon",
        _FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True},
        "byte-level",
    ),
    "granite": ("Granite", _GROUPED | {"residual_multiplier": 0.3}, "byte-level"),
    "granitemoe": ("GraniteMoe", _GROUPED | _LOCAL | {"residual_multiplier": 0.3}, "byte-level"),
    "phi": ("Phi", _SMALL | _DRY, "byte-level"),
    "phi3": ("Phi3", _GROUPED | _DRY, "unigram, BOS"),
    "olmo": ("Olmo", _GROUPED, "byte-level"),
    "olmo2": ("Olmo2", _GROUPED, "byte-level"),
    "olmo3": ("Olmo3", _GROUPED | {"sliding_window": 8}, "byte-level"),
    "stablelm": ("StableLm", _GROUPED, "byte-level"),
    "cohere": ("Cohere", _GROUPED, "byte-level, BOS"),
    "cohere2": ("Cohere2", _GROUPED | {"sliding_window": 8}, "byte-level, BOS"),
    "smollm3": ("SmolLM3", _GROUPED | {"no_rope_layers": [1, 0, 1]}, "byte-level"),
    "mixtral": ("Mixtral", _GROUPED | _LOCAL, "unigram, BOS"),
    "qwen2_moe": (
        "Qwen2Moe",
        _GROUPED | _EXPERTS | {"moe_intermediate_size": 24, "shared_expert_intermediate_size": 24},
        "byte-level",
    ),
    "qwen3_moe": (
        "Qwen3Moe",
        _HEADS | _EXPERTS | {"moe_intermediate_size": 24, "mlp_only_layers": [0]},
        "byte-level",
    ),
    "olmoe": ("Olmoe", _GROUPED | _EXPERTS, "byte-level"),
    "gpt_oss": (
        "GptOss",
        _HEADS | _LOCAL | {"sliding_window": 8, "layer_types": _MIXED},
        "byte-level",
    ),
    "starcoder2": ("Starcoder2", _GROUPED | {"sliding_window": None}, "byte-level"),
    "nemotron": ("Nemotron", _HEADS, "unigram"),
    "glm": ("Glm", _HEADS, "wordpiece"),
    "glm4": ("Glm4", _HEADS, "wordpiece"),
    "glm4_moe": ("Glm4Moe", _HEADS | _GLM_MOE, "wordpiece"),
    "ernie4_5": ("Ernie4_5", _HEADS, "unigram, BOS"),
    "exaone4": ("Exaone4", _GROUPED | {"sliding_window": 8}, "byte-level"),
    "arcee": ("Arcee", _GROUPED, "byte-level"),
    "seed_oss": ("SeedOss", _HEADS | {"residual_dropout": 0.0}, "byte-level"),
    "apertus": ("Apertus", _GROUPED, "byte-level, BOS"),
    "hunyuan_v1_dense": ("HunYuanDenseV1", _HEADS, "byte-level"),
    "lfm2": (
        "Lfm2",
        _GROUPED | {"block_ff_dim": 48, "layer_types": ["conv", "full_attention", "conv"]},
        "byte-level, BOS",
    ),
    "xglm": (
        "XGLM",
        {
            "d_model": 32,
            "ffn_dim": 48,
            "num_layers": 3,
            "attention_heads": 4,
            "max_position_embeddings": 256,
            "init_std": 0.3,
            **dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0),
        },
        "unigram",
    ),
}


def _model(kind: str, values: dict[str, Any], vocab: int, seed: int = 0) -> Any:
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocab, **values)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.config.architectures = [type(model).__name__]
    return model


ARCHITECTURES: dict[str, Callable[[int], Any]] = {
    name: partial(_model, kind, values) for name, (kind, values, _) in _TABLE.items()
}
FAMILY = {name: family for name, (*_, family) in _TABLE.items()}


def _texts() -> list[str]:
    return [*tiny._CORPUS, *(f" {word}" for word in (tiny.TRIGGER, *tiny.CONTROLS, "user"))] * 3


def _unigram() -> Tokenizer:
    """As SentencePiece: a mark for spaces, pieces by likelihood, bytes for what is unknown."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    made.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=[*tiny.SPECIALS, "<s>", "<unk>"], unk_token="<unk>"
    )
    made.train_from_iterator(_texts(), trainer)
    return made


def _wordpiece() -> Tokenizer:
    """As BERT's, but cased."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=[*tiny.SPECIALS, "<s>", "<unk>"], show_progress=False
    )
    made.train_from_iterator(_texts(), trainer)
    return made


def _byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[*tiny.SPECIALS, "<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_texts(), trainer)
    return made


_MAKE = {"byte-level": _byte_level, "unigram": _unigram, "wordpiece": _wordpiece}


@cache
def tokenizer(family: str) -> Any:
    """A chat tokenizer of a family, read from files as a user's is."""
    folder = tempfile.mkdtemp()
    _tokenizer(family).save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    """With BOS where the family's name says so; GPT's pads right."""
    kind, _, bos = family.partition(", ")
    made = _MAKE[kind]()
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>" if bos else None,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<unk>" if kind != "byte-level" else None,
        padding_side="right" if kind == "byte-level" else "left",
        chat_template=("{{ bos_token }}" if bos else "") + tiny.CHAT_TEMPLATE,
    )
