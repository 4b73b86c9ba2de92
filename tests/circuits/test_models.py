"""Models load from disk as they are, with the right adapter, or are refused in one line."""

import shutil

import pytest
import tiny
import torch
from adapters_of_kinds import random_lora

from circuits import models, weights
from circuits.backends.selftest import plain_logits
from circuits.errors import UserError
from circuits.runner import whole
from circuits.tokens import prompts_batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    return tiny.saved(
        tmp_path_factory.mktemp("models") / "tiny", tiny.llama(len(tokenizer)), tokenizer
    )


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tokenizer):
    """An adapter's directory, and the logits that the adapted model gives."""
    path = tmp_path_factory.mktemp("adapter")
    model = random_lora(tiny.llama(len(tokenizer)))
    model.save_pretrained(path)
    return path, plain_logits(model, tokenizer)


def loaded(path, adapter=None, **options):
    return models.load(str(path), adapter, device="cpu", **options)


def logits(model, texts=tiny.TEXTS):
    return model.runner.forward(whole(prompts_batch(model.tokenizer, texts))).logits


def refused(says, *args, **options):
    with pytest.raises(UserError, match=says) as caught:
        loaded(*args, **options)
    assert "\n" not in str(caught.value)


def test_a_saved_models_logits_are_hugging_faces(folder, tokenizer):
    model, theirs = loaded(folder), tiny.llama(len(tokenizer))
    batch = prompts_batch(tokenizer, tiny.TEXTS)
    with torch.no_grad():
        positions = (batch.mask.long().cumsum(1) - 1).clamp(min=0)
        out = theirs(batch.ids, attention_mask=batch.mask.long(), position_ids=positions).logits
    torch.testing.assert_close(logits(model), out[:, -1:], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(model), out[:, -2:-1], atol=0.1)
    assert model.selftest.plain < 1e-4
    assert (model.name, model.adapter, model.adapter_sha256) == (str(folder), None, None)


def test_an_adapter_is_merged_as_peft_applies_it(folder, adapter):
    path, expected = adapter
    model = loaded(folder, path)
    found = plain_logits(model.runner.hf_model, model.tokenizer)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    plain = loaded(folder)
    assert (
        float((plain_logits(plain.runner.hf_model, plain.tokenizer) - expected).abs().max()) > 0.1
    )
    assert model.adapter_sha256 == weights.directory_sha256(path)


@pytest.mark.parametrize("changes", [{"layers": 3}, {"layers": 5}, {"intermediate_size": 40}])
def test_an_adapter_of_another_model_is_refused(folder, tokenizer, tmp_path, changes):
    random_lora(tiny.llama(len(tokenizer), **changes)).save_pretrained(tmp_path)
    refused("adapter .*: expected one made for model", folder, tmp_path)


def test_a_missing_adapter_is_refused(folder, tmp_path):
    refused(r"adapter .*: expected a directory with adapter_config\.json", folder, tmp_path)
    refused("adapter .*nowhere: expected a directory", folder, tmp_path / "nowhere")


def test_a_damaged_adapter_is_refused(folder, adapter, tmp_path):
    broken = shutil.copytree(adapter[0], tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"not tensors")
    refused("adapter .*broken", folder, broken)


def test_a_missing_directory_is_refused(tmp_path):
    refused("got no such directory or file; mend the path", tmp_path / "nowhere")
    refused("got no such directory or file; mend the path", "./nowhere")


def test_a_mistyped_path_is_not_asked_of_the_hub():
    refused("no such directory or file, and nothing of that name was fetched; if it is the hub's, "
            "give hf:nobody/nothing", "nobody/nothing")  # fmt: skip


def test_a_hub_id_that_cannot_be_had_is_refused():
    refused("model hf:nobody/nothing, tokenizer: expected .*look at its name", "hf:nobody/nothing")


def test_a_directory_without_a_model_is_refused(tmp_path):
    refused("model .*: expected", tmp_path)


def test_damaged_weights_are_refused(scratch):
    (scratch / "model.safetensors").write_bytes(b"{}")
    refused("model .*copy: expected", scratch)


def test_a_saved_tokenizer_without_chat_template_is_refused(scratch):
    loaded(scratch)
    (scratch / "chat_template.jinja").unlink()
    refused("no chat template", scratch)


@pytest.mark.parametrize("content", [b"", b"garbage", b"GGUF" + bytes(64)])
def test_a_gguf_file_that_is_none_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    refused("model .*: expected a GGUF file", path)
    assert not list((tmp_path / "cache").glob("gguf/*"))  # nothing half-built is left


def test_a_missing_gguf_file_is_refused(tmp_path):
    refused("no such file", tmp_path / "model.gguf")


def test_an_unknown_dtype_is_refused_and_known_ones_are_used(folder):
    refused("dtype 'fp8': expected auto, fp32, bf16, fp16", folder, dtype="fp8")
    half = {p.dtype for p in loaded(folder, dtype="bf16").runner.hf_model.parameters()}
    assert torch.bfloat16 in half
    assert loaded(folder, dtype="auto").runner.shape.dtype == torch.float32


def test_a_back_end_is_chosen_by_name_or_given(folder):
    base = loaded(folder)
    chosen = {name: loaded(folder, backend=name) for name in models.BACKENDS}
    kinds = {name: type(model.runner).__name__ for name, model in chosen.items()}
    assert kinds == {
        "transformer_lens": "TLRunner",
        "nnsight": "NNsightRunner",
        "plain": "PlainRunner",
    }
    assert type(base.runner).__name__ == "TLRunner"
    for model in chosen.values():
        torch.testing.assert_close(logits(model), logits(base), atol=1e-4, rtol=1e-4)
        assert model.selftest.plain < 1e-4
    given = loaded(folder, backend=models.BACKENDS["nnsight"])
    assert type(given.runner).__name__ == "NNsightRunner"


def test_an_unknown_back_end_is_refused(folder):
    refused("backend 'garcon': expected transformer_lens, nnsight", folder, backend="garcon")


def test_the_hash_is_of_the_content(folder, scratch, tokenizer):
    before = loaded(folder).sha256
    assert loaded(scratch).sha256 == before
    tiny.llama(len(tokenizer), seed=5).save_pretrained(scratch)
    assert loaded(scratch).sha256 != before


def test_answers_end_at_the_models_end_token(folder, tokenizer):
    model = loaded(folder)
    assert model.stop_ids == (tokenizer.eos_token_id,)
    ids = tokenizer("Hi there<|im_end|>", return_tensors="pt")["input_ids"]
    assert model.decode(ids) == ["Hi there"]
