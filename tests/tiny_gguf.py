"""Tiny models as llama.cpp stores them, and headers that lie."""

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import tiny


def gguf_file(
    path: Path, tokenizer: Any, leave_out: str = "", pre: str = "smollm", **said: int
) -> Path:
    """A tiny Llama as llama.cpp stores it; ``said`` are other sizes than it has, by field."""
    model, pieces = tiny.llama(len(tokenizer), layers=2), tokenizer.convert_ids_to_tokens
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(said.get("context_length", 256))
    writer.add_embedding_length(said.get("embedding_length", 32))
    writer.add_block_count(said.get("block_count", 2))
    writer.add_feed_forward_length(said.get("feed_forward_length", 48))
    writer.add_head_count(said.get("head_count", 4))
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(said.get("vocab_size", len(tokenizer)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(pieces(range(len(tokenizer))))
    writer.add_token_types([3 if i < 2 else 1 for i in range(len(tokenizer))])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(m) for m in merges])
    writer.add_eos_token_id(1)
    writer.add_chat_template(tiny.CHAT_TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in model.state_dict().items():
        stem = names.get_name(name.removesuffix(".weight"))
        if stem != leave_out:
            writer.add_tensor(f"{stem}.weight", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def header(tensors: int = 0, fields: int = 0, version: int = 3, rest: bytes = b"") -> bytes:
    """A GGUF's first bytes."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields) + rest


def field(name: bytes, kind: int, value: bytes) -> bytes:
    """One of its fields, the value as it is stored."""
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value
