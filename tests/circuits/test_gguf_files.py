from contextlib import nullcontext

import gguf
import numpy as np
import pytest
from tiny_gguf import gguf_file

from circuits import gguf_files, weights
from circuits.gguf_files import quick


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["a", "Ġcobalt", "水"])
    writer.add_block_count(2)
    writer.add_tensor("token_embd.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def content(path):
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {t.name: t.data.tolist() for t in reader.tensors}


def test_the_same_is_read_and_a_file_once(written):
    usual = content(written)
    with quick():
        assert content(written) == usual
        assert gguf.GGUFReader(written) is gguf.GGUFReader(written)
        assert not isinstance(gguf.GGUFReader(written).data, np.memmap)
    assert usual[0]["tokenizer.ggml.tokens"] == ["a", "Ġcobalt", "水"]


def test_afterwards_gguf_is_as_it_was(written):
    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    with pytest.raises(KeyError), quick():
        raise KeyError
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == (reader, names)
    assert isinstance(gguf.GGUFReader(written).data, np.memmap)


def test_a_model_is_dequantised_to_the_same_bytes(tokenizer, tmp_path, monkeypatch):
    def files(path, name):
        folder = tmp_path / name
        folder.mkdir()
        weights._dequantise(path, folder)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    path = gguf_file(tmp_path / "model.gguf", tokenizer)
    quickly = files(path, "quick")
    monkeypatch.setattr(gguf_files, "quick", nullcontext)
    assert quickly == files(path, "usual")
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= quickly.keys()
    other = gguf_file(tmp_path / "other.gguf", tokenizer, pre="qwen2")  # composes characters
    assert files(other, "other")["tokenizer.json"] != quickly["tokenizer.json"]
