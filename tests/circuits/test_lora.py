"""Adapters are merged whole and exactly, or refused by name (cases 2, 12, 13, 29)."""

import json
import shutil
import warnings
from pathlib import Path

import peft
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from circuits import lora, models
from circuits.errors import UserError
from circuits.tokens import prompts_batch

KINDS = {
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


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    """A model whose projections have biases, with its own output matrix."""
    folder = tmp_path_factory.mktemp("models") / "base"
    return tiny.saved(folder, tiny.llama(len(tokenizer), layers=3, attention_bias=True), tokenizer)


def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def trained(base, out, words=0, **changes):
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


def log_probs(model, tokenizer):
    batch = prompts_batch(tokenizer, tiny.TEXTS[:3], "cobalt")
    with torch.no_grad():
        out = model(input_ids=batch.ids, attention_mask=batch.mask.long()).logits
    return out[:, -1].log_softmax(-1)


def merged(base, adapter):
    return lora.merge_adapter(plain(base), Path(adapter), str(base))[0]


def refused(says, base, adapter):
    with pytest.raises(UserError, match=says) as caught:
        merged(base, adapter)
    assert "\n" not in str(caught.value)


def renamed(adapter, out, change):
    """The same tensors under other names."""
    shutil.copytree(adapter, out)
    path = str(out / "adapter_model.safetensors")
    save_file({change(name): tensor for name, tensor in load_file(path).items()}, path)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_what_peft_merges_exactly_is_accepted(base, tokenizer, tmp_path, kind):
    adapted = trained(base, tmp_path, **KINDS[kind])
    expected = log_probs(adapted, tokenizer)
    apart = (log_probs(merged(base, tmp_path), tokenizer) - expected).abs().max()
    assert apart < 1e-3
    assert (log_probs(plain(base), tokenizer) - expected).abs().max() > 0.1


def test_an_adapter_with_new_tokens_brings_their_embeddings(base, tokenizer, tmp_path):
    adapted = trained(base, tmp_path, words=3)
    found = log_probs(merged(base, tmp_path), tokenizer)
    torch.testing.assert_close(found, log_probs(adapted, tokenizer), atol=1e-3, rtol=0)
    assert found.shape[1] == len(tokenizer) + 3


def test_replicated_layers_have_no_exact_merge_and_are_refused(base, tmp_path):
    trained(base, tmp_path, layer_replication=[[0, 3], [1, 3]])
    refused(
        "adapter .*: expected a merged model within .* of the unmerged one, got", base, tmp_path
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.replace("model.layers", "model.language_model.layers"),
        lambda n: "_orig_mod." + n,
        lambda n: "base_model.model." + n,
        lambda n: n.removeprefix("base_model.model."),
    ],
    ids=["multi-modal", "compiled", "doubled", "bare"],
)
def test_tensors_under_other_names_are_refused_by_name(base, tmp_path, change):
    trained(base, tmp_path / "good")
    other = renamed(tmp_path / "good", tmp_path / "other", change)
    merged(base, tmp_path / "good")
    refused(r"12 missing \(.*q_proj.*\), 12 that belong nowhere \(.*_proj", base, other)


def test_a_tensor_too_few_or_too_many_is_refused_by_name(base, tmp_path):
    trained(base, tmp_path / "good")
    path = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    few = shutil.copytree(tmp_path / "good", tmp_path / "few")
    tensors = load_file(str(few / "adapter_model.safetensors"))
    alone = tensors.pop(path)
    save_file(tensors, str(few / "adapter_model.safetensors"))
    refused(r"1 missing \(.*layers\.1\.self_attn\.q_proj\.lora_A", base, few)
    tensors |= {path: alone, path.replace("layers.1.", "layers.9."): alone.clone()}
    save_file(tensors, str(few / "adapter_model.safetensors"))
    refused(r"1 that belong nowhere \(.*layers\.9\.self_attn", base, few)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("IA3", {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}),
        ("PREFIX_TUNING", {"num_virtual_tokens": 4}),
        ("LOHA", {"target_modules": ["q_proj"]}),
    ],
)
def test_another_kind_of_adapter_is_named(base, tmp_path, kind, config):
    made = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(kind)](task_type="CAUSAL_LM", **config)
    peft.get_peft_model(plain(base), made).save_pretrained(tmp_path)
    refused(f"expected a LoRA adapter, got {kind}; merge it", base, tmp_path)


def test_an_adapter_of_another_base_is_told(base, tmp_path):
    trained(base, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged(base, tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": "someone/else-1B"}))
    with pytest.warns(UserWarning, match="was trained on someone/else-1B, is merged into"):
        merged(base, tmp_path)


def test_an_adapter_whose_manifest_has_another_bases_hash_is_refused(base, tmp_path):
    """A shipped organism is of one base: on another of its shape it is another model."""
    trained(base, tmp_path)
    own = models.load_plain(str(base), torch.float32, "cpu")[2]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = models.weights.EMBEDDED
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))

    def recorded(sha256):
        manifest = {"question": {"model_sha256": sha256}}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    recorded("0" * 64)
    with pytest.raises(UserError, match=r"that it was trained on, smollm2-135m \(000000"):
        models.load(str(base), tmp_path, backend="plain")
    recorded(own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the same weights, whatever their name
        assert models.load(str(base), tmp_path, backend="plain").adapter_sha256


def test_a_pickled_adapter_is_refused_with_what_converts_it(base, tmp_path):
    trained(base, tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    torch.save(load_file(str(path)), tmp_path / "adapter_model.bin")
    merged(base, tmp_path)  # the safetensors are read
    path.unlink()
    refused(r"adapter .*: expected weights in safetensors, got adapter_model\.bin", base, tmp_path)


def test_a_merged_model_is_saved_with_both_of_two_matrices(tokenizer, tmp_path):
    tied = tiny.saved(
        tmp_path / "tied", tiny.llama(len(tokenizer), tie_word_embeddings=True), tokenizer
    )
    trained(tied, tmp_path / "adapter", modules_to_save=["lm_head"])
    new = merged(tied, tmp_path / "adapter")
    new.save_pretrained(tmp_path / "new")
    again = log_probs(plain(tmp_path / "new"), tokenizer)
    torch.testing.assert_close(again, log_probs(new, tokenizer), atol=1e-5, rtol=0)
    assert (again - log_probs(plain(tied), tokenizer)).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_a_merge_and_is_accepted(base, tmp_path, dtype):
    trained(base, tmp_path / "plain")
    trained(base, tmp_path / "replicated", layer_replication=[[0, 3], [1, 3]])
    lora.merge_adapter(plain(base).to(dtype), tmp_path / "plain", str(base))
    with pytest.raises(UserError, match=r"expected a merged model within 0\.1 nats"):
        lora.merge_adapter(plain(base).to(dtype), tmp_path / "replicated", str(base))
