"""What a checkpoint's files say is held against each other before a model is built of them."""

import time

import pytest
import tiny
import torch
from checkpoints import edited, retensored

from circuits import models
from circuits.devices import resolve_device
from circuits.errors import UserError


def loaded(path, **options):
    return models.load(str(path), device="cpu", backend="plain", **options)


def refused(says, path, **options):
    start = time.monotonic()
    with pytest.raises(UserError, match=says) as caught:
        loaded(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ({"num_hidden_layers": 10**6}, r"num_hidden_layers from 1 to 30 .*\(30 tensors .*, got 10"),
        ({"num_hidden_layers": 10**15}, "num_hidden_layers from 1 to 30"),
        ({"num_hidden_layers": 0}, "num_hidden_layers from 1 to 30 .*, got 0"),
        ({"num_hidden_layers": "three"}, "num_hidden_layers from 1 to 30 .*, got 'three'"),
        ({"vocab_size": 10**12}, "vocab_size from 1 to 10000000 .*, got 1000000000000"),
        ({"hidden_size": 10**6}, "a configuration of the .* numbers in its files, got one of"),
        ({"hidden_size": 64}, r"of another shape \(.*\(.*32\) for \(.*64\)"),
        ({"hidden_size": -32}, "hidden_size from 1 to"),
        ({"hidden_size": True}, "hidden_size from 1 to .*, got True"),
        ({"num_attention_heads": 0}, "num_attention_heads from 1 to .*, got 0"),
        ({"num_attention_heads": 3}, "not a multiple of the number of attention heads"),
        ({"intermediate_size": 10**13}, "intermediate_size from 0 to"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings from 0 to"),
        ({"text_config": {"num_hidden_layers": 10**9}}, "num_hidden_layers from 1 to 30"),
        ({"model_type": "nope"}, "a model_type .* knows, got 'nope'"),
        ({"model_type": ["llama"]}, r"a model_type .*, got \['llama'\]"),
        ({"model_type": "bert"}, r"missing \(bert\..*30 that belong nowhere \(lm_head"),
        ({"model_type": "clip"}, "model copy|CLIP"),
        ({"eos_token_id": "stop"}, "'eos_token_id' with value 'stop'"),
        ({"transformers_weights": "sub/other.safetensors"}, r"weights in model\.safetensors, got"),
        ({"transformers_weights": 7}, r"weights in model\.safetensors, got"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_what_a_configuration_claims_beyond_its_files_is_refused(scratch, claim, says):
    edited(scratch, **claim)
    refused(f"model .*copy.*: expected .*{says}|{says}", scratch)


def test_a_configuration_of_its_files_is_accepted(folder):
    assert loaded(folder).runner.shape.n_layers == 3


@pytest.mark.parametrize("text", ["[]", "3", "null", "", "{", '{"a":' * 10**5, "\ufeff{}", "{}"])
def test_a_configuration_that_is_no_object_is_refused(scratch, text):
    (scratch / "config.json").write_text(text)
    refused("model .*copy.*: expected", scratch)


def test_a_configuration_that_is_no_text_or_no_file_is_refused(scratch):
    path = scratch / "config.json"
    path.write_bytes(b"\xff\xfe\x00{")
    refused("expected a JSON object in config.json, got .*UnicodeDecodeError", scratch)
    path.unlink()
    refused("expected a directory with config.json, got none", scratch)
    path.mkdir()
    refused("expected a directory with config.json, got none", scratch)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(scratch, value):
    def broken(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][3, 2] = value
        return tensors

    retensored(scratch / "model.safetensors", broken)
    what = "NaN" if value != value else "inf"
    refused(rf"finite weights, got {what} in model\.layers\.1\.mlp\.up_proj\.weight", scratch)


def test_weights_beyond_half_precision_are_named_with_what_to_do(scratch):
    retensored(
        scratch / "model.safetensors",
        lambda t: {n: w * (1e6 if "2.mlp.down" in n else 1) for n, w in t.items()},
    )
    refused(
        r"inf in model\.layers\.2\.mlp\.down.* \(float16\); use --dtype fp32", scratch, dtype="fp16"
    )
    loaded(scratch, dtype="bf16")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_weights_of_whole_numbers_are_refused(scratch, kind):
    name = "model.layers.0.self_attn.q_proj.weight"
    retensored(
        scratch / "model.safetensors", lambda tensors: {**tensors, name: tensors[name].to(kind)}
    )
    refused(rf"fp32, bf16 or fp16, got 1 of another type \({name} [IUB]", scratch)


def test_masks_of_old_versions_are_no_weights(tokenizer, tmp_path):
    path = tiny.saved(tmp_path / "gpt2", tiny.gpt2(len(tokenizer)), tokenizer)
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    retensored(
        path / "model.safetensors", lambda tensors: {**tensors, "transformer.h.0.attn.bias": mask}
    )
    loaded(path)


def test_an_adapter_in_a_models_directory_is_not_merged_in_silence(scratch):
    (scratch / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    refused(r"adapter_config\.json beside it; .* name it with --adapter", scratch)


@pytest.mark.parametrize("damage", ["cut", "empty", "pointer", "long header", "gone"])
def test_weights_that_are_cut_are_refused(scratch, damage):
    path = scratch / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "long header": (2**62).to_bytes(8, "little") + content[8:],
            "gone": b"",
        }[damage]
    )
    if damage == "gone":
        path.unlink()
    refused("model .*copy.*: expected", scratch)


def test_half_a_tokenizer_is_named_as_such(scratch):
    path = scratch / "tokenizer.json"
    path.write_text(path.read_text()[:2000])
    refused("model .*copy, tokenizer: expected", scratch)


def test_tokens_without_an_embedding_are_refused(scratch, tokenizer):
    more = tiny.tokenizer()
    more.add_tokens(["[MORE]", "[THAN]"])
    more.save_pretrained(scratch)
    rows = len(tokenizer)
    refused(rf"at most the model's {rows} tokens, got 2 more \(\[MORE\], \[THAN\]\)", scratch)


def test_a_special_token_without_an_embedding_is_refused_if_the_template_writes_it(scratch):
    more = tiny.tokenizer()
    more.add_tokens(["<picture>"], special_tokens=True)
    more.save_pretrained(scratch)
    loaded(scratch)  # as Gemma's text models come
    more.chat_template = "<picture>" + tiny.CHAT_TEMPLATE
    more.save_pretrained(scratch)
    refused(r"got 1 more \(<picture>\)", scratch)


def test_an_end_of_answers_that_is_no_token_is_refused(scratch):
    edited(scratch, "generation_config.json", eos_token_id=10**6)
    refused(r"end an answer \(eos_token_id\) from 0 to", scratch)
    edited(scratch, "generation_config.json", eos_token_id=["stop"])
    refused("model .*copy.*: expected", scratch)
    edited(scratch, "generation_config.json", eos_token_id=[1, 3])
    assert loaded(scratch).stop_ids == (1, 3)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "tpu", "", "meta", "mps", "cpu:3", "CPU"])
def test_a_device_that_is_absent_is_refused_with_those_there_are(folder, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=rf"device: expected auto, cpu, got '{device}'"):
        models.load(str(folder), device=device)
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"


def test_devices_that_are_there_are_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    taken = [resolve_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")]
    assert taken == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(UserError, match="cuda, cpu, cuda:0, cuda:1, got 'cuda:2'"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("dtype", ["fp8", "", "float32", "int8"])
def test_a_precision_that_is_none_is_refused(folder, dtype):
    refused(f"dtype '{dtype}': expected auto, fp32, bf16, fp16", folder, dtype=dtype)
