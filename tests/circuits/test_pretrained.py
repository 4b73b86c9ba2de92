"""Whole models are read from their files, all of them and nothing else."""

import json

import pytest
import tiny
import torch
import transformers
from checkpoints import edited, retensored
from nothing_acts import nothing_acts
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from circuits import models, weights
from circuits.errors import SelfTestError, UserError


@pytest.fixture(scope="module")
def multi_modal(tmp_path_factory):
    tokenizer = tiny.tokenizer()
    model = tiny.gemma3_images(len(tokenizer))
    return tiny.saved(tmp_path_factory.mktemp("pictures") / "gemma", model, tokenizer)


def loaded(path, adapter=None, backend="plain", **options):
    return models.load(str(path), adapter, device="cpu", backend=backend, **options)


def refused(says, *args, **options):
    with pytest.raises(UserError, match=says) as caught:
        loaded(*args, **options)
    assert "\n" not in str(caught.value)


def test_the_watch_sees_a_process_and_a_socket():
    import socket
    import subprocess

    with nothing_acts() as tried:
        for act in (
            lambda: subprocess.run(["true"], check=False),
            lambda: socket.create_connection(("localhost", 9)),
        ):
            with pytest.raises(PermissionError, match="blocked"):
                act()
    assert [each.split()[0] for each in tried] == ["subprocess.Popen", "socket.getaddrinfo"]


@pytest.mark.parametrize("backend", models.BACKENDS)
def test_nothing_is_started_or_asked_while_a_model_loads(folder, tmp_path, backend, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(base, LoraConfig(target_modules="all-linear")).save_pretrained(tmp_path)
    with nothing_acts() as tried:
        loaded(folder, tmp_path, backend)
    assert tried == []


def test_a_multi_modal_model_loads_without_an_installation(multi_modal, monkeypatch):
    """The bridge ran `pip install torchvision`, which replaced torch."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with nothing_acts() as tried:
        loaded(multi_modal, backend="transformer_lens")
    assert tried == []


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model."])
def test_weights_of_a_wrapped_model_are_refused_by_name(scratch, prefix):
    loaded(scratch)
    retensored(
        scratch / "model.safetensors", lambda tensors: {prefix + n: t for n, t in tensors.items()}
    )
    refused(rf"30 missing \(lm_head.*\), 30 that belong nowhere \({prefix}.*; save", scratch)


def test_missing_layers_are_refused_by_name(scratch):
    retensored(
        scratch / "model.safetensors",
        lambda tensors: {n: t for n, t in tensors.items() if ".layers.2" not in n},
    )
    refused(r"all of its 30 tensors in its files, got 9 missing \(model\.layers\.2\.", scratch)


def test_more_layers_than_weights_are_refused_and_fewer_too(scratch):
    edited(scratch, num_hidden_layers=5)
    refused(r"18 missing \(model\.layers\.3\.", scratch)
    edited(scratch, num_hidden_layers=2)
    refused(r"9 that belong nowhere \(model\.layers\.2\.", scratch)


def test_a_missing_head_is_refused_unless_it_is_tied(scratch, tokenizer):
    retensored(
        scratch / "model.safetensors",
        lambda tensors: {n: t for n, t in tensors.items() if n != "lm_head.weight"},
    )
    refused(r"1 missing \(lm_head\.weight\)", scratch)
    tiny.llama(len(tokenizer), tie_word_embeddings=True).save_pretrained(scratch)
    loaded(scratch)


def test_a_vocabulary_of_another_size_is_refused_in_one_line(scratch):
    edited(scratch, vocab_size=9000)
    refused(r"2 of another shape \(lm_head\.weight \(.*for \(9000, 32\)", scratch)


@pytest.mark.parametrize(
    "how",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
    ],
)
def test_a_quantised_checkpoint_is_refused_in_one_line(scratch, how):
    edited(scratch, quantization_config=how)
    refused(f"got weights quantised by {how['quant_method']}.*; save it dequantised", scratch)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_with_what_converts_them(scratch, name):
    """They were loaded, and left out of the model's hash."""
    path = scratch / "model.safetensors"
    torch.save(load_file(str(path)), scratch / name)
    loaded(scratch)  # the safetensors are read
    path.unlink()
    refused(rf"got {name}, which can run code when read; convert what you trust: python", scratch)


def test_shards_outside_the_directory_are_refused(scratch, tmp_path):
    (scratch / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    names = load_file(str(tmp_path / "elsewhere.safetensors"))
    index = scratch / "model.safetensors.index.json"
    for outside in ("../elsewhere.safetensors", str(tmp_path / "elsewhere.safetensors")):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(names, outside)}))
        refused("expected shards in safetensors beside their index, got .*elsewhere", scratch)
    for other in ("[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "{", "[" * 10**5):
        index.write_text(other)
        refused(r"model\.safetensors\.index\.json: expected (a JSON object|an index)", scratch)
    for name in (".hidden.safetensors", "weights.bin"):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(names, name)}))
        refused("expected shards in safetensors beside their index", scratch)


@pytest.mark.parametrize(
    "name",
    ["tokenizer.model", "merges.txt", "vocab.txt", "additional_chat_templates/other.jinja"],
)
def test_every_file_that_may_be_read_is_in_the_hash(scratch, name):
    before = weights.directory_sha256(scratch)
    (scratch / name).parent.mkdir(exist_ok=True)
    (scratch / name).write_text("one")
    one = weights.directory_sha256(scratch)
    (scratch / name).write_text("two")
    assert len({before, one, weights.directory_sha256(scratch)}) == 3


def test_a_model_that_overflows_is_refused_with_its_precision(scratch):
    retensored(
        scratch / "model.safetensors",
        lambda tensors: {n: t * (3e4 if "2.mlp.down" in n else 1) for n, t in tensors.items()},
    )
    with pytest.raises(SelfTestError, match="NaN or inf in float16 from the model itself"):
        loaded(scratch, dtype="fp16")
    loaded(scratch, dtype="fp32")
