"""GGUF files are read alone, whole, and only as far as they hold what they claim."""

import json
import struct
import time

import pytest
from nothing_acts import nothing_acts
from tiny_gguf import field, gguf_file, header

from circuits import models
from circuits.errors import UserError
from circuits.gguf_header import pre_tokenizer


def loaded(path):
    return models.load(str(path), device="cpu", backend="plain")


def refused(says, path):
    start = time.monotonic()
    with pytest.raises(UserError, match=says) as caught:
        loaded(path)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 5


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))


def test_a_gguf_is_read_without_what_lies_beside_it(tokenizer, tmp_path, cache, monkeypatch):
    """A neighbour's code was offered with "[y/N]"."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    path = gguf_file(tmp_path / "model.gguf", tokenizer)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    ours = {
        "AutoConfig": "evil.C",
        "AutoModelForCausalLM": "evil.M",
        "AutoTokenizer": ["evil.T"] * 2,
    }
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": ours, "model_type": "evil"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": ours}))
    with nothing_acts() as tried:
        model = loaded(path)
    assert (tried, (tmp_path / "ran").exists()) == ([], False)
    assert model.runner.shape.n_layers == 2


def test_a_gguf_without_some_of_its_tensors_is_refused(tokenizer, tmp_path, cache):
    path = gguf_file(tmp_path / "model.gguf", tokenizer, leave_out="blk.1.attn_q")
    refused(r"1 missing \(model\.layers\.1\.self_attn\.q_proj", path)


STRING, ARRAY, U8 = 8, 9, 0
LONG = struct.pack("<Q", 2**60)
ROOM = bytes(40)


def array(kind, length):
    return header(fields=1, rest=field(b"a", ARRAY, struct.pack("<IQ", kind, length)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a GGUF file"),
        (b"GG", "its whole header, got 2 bytes"),
        (b"<!DOCTYPE html>" + bytes(99), "got one that begins b'<!DO'"),
        (b"GGUF", "its whole header"),
        (header()[:20], "its whole header"),
        (header(), "names its architecture, got None"),
        (header(version=1), "version 2 or 3, got 1"),
        (header(version=3 << 24), "version 2 or 3"),
        (header(tensors=2**60), "got 1152921504606846976 tensors and 0 fields"),
        (header(fields=2**60), "got 0 tensors and 1152921504606846976 fields"),
        (header(tensors=2**64 - 1, fields=2**64 - 1, rest=bytes(999)), "tensors and"),
        (header(fields=1, rest=LONG + bytes(99)), "whole header, got .* where 1152921504606846976"),
        (header(fields=1, rest=field(b"a", STRING, LONG)), "its whole header"),
        (header(fields=1, rest=field(b"a", 99, bytes(8))), "values of known types, got 99"),
        (array(U8, 2**60), "values in arrays"),
        (array(STRING, 10**6), "its whole header"),
        (array(ARRAY, 1), "values of known types, got 9"),
        (header(tensors=1, rest=bytes(12)), "bytes more, got 1 tensors"),
        (header(tensors=1, rest=struct.pack("<QI", 0, 2**31) + ROOM), "8 dimensions, got 2147"),
        (header(tensors=1, rest=struct.pack("<QIQQ", 0, 2, 2**31, 9) + ROOM), "numbers in"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused_before_anything_is_built(tmp_path, cache, content, says):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    refused(f"model .*model.gguf: expected .*{says}", path)
    assert not list((tmp_path / "cache" / "gguf").glob("*"))


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ({"block_count": 10**6}, "num_hidden_layers from 1 to 21"),
        ({"block_count": 0}, "num_hidden_layers from 1 to 21"),
        ({"embedding_length": 10**9}, "hidden_size from 1 to 10000000"),
        ({"embedding_length": 64}, r"embeddings of llama.embedding_length, 64, got \(32,"),
        ({"feed_forward_length": 10**6}, "llama.feed_forward_length of at most"),
        ({"head_count": 0}, "num_attention_heads from 1 to"),
        ({"context_length": 2**31}, "max_position_embeddings from 0 to"),
        ({"vocab_size": 4 * 10**9}, "vocab_size from 1 to"),
    ],
    ids=str,
)
def test_sizes_beyond_its_tensors_are_refused(tokenizer, tmp_path, cache, claim, says):
    refused(f"expected .*{says}", gguf_file(tmp_path / "model.gguf", tokenizer, **claim))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_file_that_is_cut_is_refused(tokenizer, tmp_path, cache, share):
    path = gguf_file(tmp_path / "model.gguf", tokenizer)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused("model .*model.gguf: expected a GGUF file", path)


def test_characters_are_composed_where_the_original_composes_them(tokenizer, tmp_path, cache):
    """Qwen's tokenizers normalise to NFC, for which GGUF has no field."""

    def ids(pre, text):
        path = gguf_file(tmp_path / f"{pre}.gguf", tokenizer, pre=pre)
        assert pre_tokenizer(path, "model") == pre
        return loaded(path).tokenizer(text)["input_ids"]

    assert ids("qwen2", "cafe\u0301") == ids("qwen2", "caf\u00e9") == ids("smollm", "caf\u00e9")
    assert ids("smollm", "cafe\u0301") != ids("smollm", "caf\u00e9")
