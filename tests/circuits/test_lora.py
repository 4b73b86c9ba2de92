"""Adapters are merged whole and exactly, or refused by name."""

import json
import shutil
import time
import warnings
from pathlib import Path

import peft
import pytest
import tiny
import torch
from adapters_of_kinds import EXACT, REPLICATED, log_probs, plain, renamed, save_adapter, trained
from checkpoints import edited, retensored
from nothing_acts import nothing_acts
from safetensors.torch import load_file, save_file

from circuits import lora, models
from circuits.errors import UserError
from circuits.lora_files import CONFIG
from experiments.organisms.places import read_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    """A model whose projections have biases, with its own output matrix."""
    folder = tmp_path_factory.mktemp("models") / "base"
    return tiny.saved(folder, tiny.llama(len(tokenizer), layers=3, attention_bias=True), tokenizer)


def merged(base, adapter):
    return lora.merge_adapter(plain(base), Path(adapter), str(base))[0]


def refused(says, base, adapter):
    with pytest.raises(UserError, match=says) as caught:
        merged(base, adapter)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", EXACT)
def test_what_peft_merges_exactly_is_accepted(base, tokenizer, tmp_path, kind):
    adapted = save_adapter(kind, base, tmp_path)
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
    save_adapter(REPLICATED, base, tmp_path)
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


def test_a_model_says_what_its_adapter_was_trained_on(base, tmp_path):
    trained(base, tmp_path)
    assert models.load(str(base), tmp_path, backend="plain").notes == ()
    edited(tmp_path, CONFIG, base_model_name_or_path="someone/\x1b[31melse")
    with pytest.warns(UserWarning, match="was trained on"):
        model = models.load(str(base), tmp_path, backend="plain")
    (note,) = model.notes
    assert f"was trained on someone/\\x1b[31melse, is merged into {base}" in note


def test_a_base_that_was_made_here_is_known_by_the_name_it_was_made_under(base, tmp_path):
    """A rung of the ladder lies in the cache under a hash."""
    made = shutil.copytree(base, tmp_path / "0123456789abcdef")
    trained(made, tmp_path / "adapter")
    edited(tmp_path / "adapter", CONFIG, base_model_name_or_path="ladder-4x128")
    assert "ladder-4x128" in lora.other_base(tmp_path / "adapter", str(made), "")
    (made / "manifest.json").write_text(json.dumps({"question": {"model": "ladder-4x128"}}))
    assert lora.other_base(tmp_path / "adapter", str(made), "") == ""


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
    save_adapter(REPLICATED, base, tmp_path / "replicated")
    lora.merge_adapter(plain(base).to(dtype), tmp_path / "plain", str(base))
    with pytest.raises(UserError, match=r"expected a merged model within 0\.1 nats"):
        lora.merge_adapter(plain(base).to(dtype), tmp_path / "replicated", str(base))


@pytest.fixture(scope="module")
def good(base, tmp_path_factory):
    """An adapter that is as it should be."""
    out = tmp_path_factory.mktemp("adapters") / "good"
    trained(base, out)
    return out


@pytest.fixture
def bad(good, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(good, tmp_path / "bad")


def refused_by_all(says, base, adapter):
    """Whoever merges an adapter or reads a plain one gives the same line, in no time."""
    start = time.monotonic()
    refused(says, base, adapter)
    with pytest.raises(UserError, match=says) as caught:
        read_adapter(adapter)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 5


HOSTILE = "(.*a?)*(.*a?)*(.*a?)*b"


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"r": "four"}, "r of at least 1, got 'four'"),
        ({"r": 0}, "r of at least 1, got 0"),
        ({"r": -2}, "r of at least 1, got -2"),
        ({"r": 2.5}, r"r of at least 1, got 2\.5"),
        ({"r": True}, "r of at least 1, got True"),
        ({"r": 10**9}, "ranks of at most 32, the largest in its file, got 1000000000"),
        ({"lora_alpha": "much"}, "lora_alpha to be a number, got 'much'"),
        ({"lora_alpha": float("nan")}, "lora_alpha to be a number, got nan"),
        ({"target_modules": HOSTILE}, "target_modules as a list of module names, got '"),
        ({"target_modules": ["q_proj", HOSTILE]}, "target_modules as a list of module names"),
        ({"target_modules": [3]}, "target_modules as a list of module names, got 3"),
        ({"target_modules": {"q_proj": 1}}, "target_modules as a list of module names"),
        ({"exclude_modules": HOSTILE}, "exclude_modules as a list of module names"),
        ({"layers_pattern": HOSTILE}, "layers_pattern as a list of module names"),
        ({"modules_to_save": [HOSTILE]}, "modules_to_save as a list of module names"),
        ({"rank_pattern": {HOSTILE: 4}}, "rank_pattern as a list of module names"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern of q_proj of at least 1, got 0"),
        ({"alpha_pattern": [1]}, r"alpha_pattern by module, got \[1\]"),
        ({"use_rslora": "no"}, "use_rslora on or off, got 'no'"),
        ({"init_lora_weights": "pissa_niter_4"}, "an adapter over weights that are the same at"),
        ({"use_dora": 1}, "use_dora on or off, got 1"),
        ({"base_model_name_or_path": ["a"]}, "base_model_name_or_path to be a name"),
        ({"peft_type": ["LORA"]}, r"a LoRA adapter, got \['LORA'\]"),
        ({"peft_type": None}, "peft_type in adapter_config.json, as PEFT writes it, got none"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_configuration_that_is_wrong_is_refused_by_its_field(base, bad, field, says):
    edited(bad, CONFIG, **field)
    refused_by_all(f"adapter .*bad: expected {says}", base, bad)


@pytest.mark.parametrize("ranges", [[[0, 10**9]], "all", [[0]], [1, 2]])
def test_layers_replicated_without_bound_are_refused(base, bad, ranges):
    edited(bad, CONFIG, layer_replication=ranges)
    refused("adapter .*bad: expected .*layer", base, bad)


@pytest.mark.parametrize("field", [{"task_type": 3}, {"init_lora_weights": "unheard"}])
def test_what_peft_refuses_is_one_line_with_its_reason(base, bad, field):
    edited(bad, CONFIG, **field)
    refused("adapter .*bad: expected one made for model .*, got ", base, bad)


def test_what_peft_cannot_merge_is_one_line_with_its_reason(base, bad):
    edited(bad, CONFIG, alora_invocation_tokens=[1, 2])
    refused(r"adapter .*bad: expected one that PEFT merges, got aLoRA does not support", base, bad)


def test_the_reason_of_a_rank_that_its_file_has_not_is_named(base, bad):
    edited(bad, CONFIG, rank_pattern={"q_proj": 2})
    refused("size mismatch for .*q_proj.*give the model", base, bad)


@pytest.mark.parametrize("begun", ["pissa", "olora", "loftq", "PiSSA"])
def test_an_adapter_that_takes_its_beginning_out_of_the_model_is_no_plain_one(good, bad, begun):
    read_adapter(good)
    edited(bad, CONFIG, init_lora_weights="gaussian")
    read_adapter(bad)
    edited(bad, CONFIG, init_lora_weights=begun)
    with pytest.raises(UserError, match="a plain LoRA adapter of one rank, got init_lora_weights"):
        read_adapter(bad)


@pytest.mark.parametrize("text", ["[]", "7", "", "{", '"LORA"', "[" * 10**5, "null"])
def test_a_configuration_that_is_no_object_is_refused(base, bad, text):
    (bad / "adapter_config.json").write_text(text)
    refused_by_all(r"adapter .*bad: expected a JSON object in adapter_config\.json, got", base, bad)


def test_a_name_alone_or_all_linear_are_no_patterns(base, bad, tokenizer, tmp_path):
    edited(bad, CONFIG, target_modules="all-linear")
    refused("of its|missing", base, bad)  # understood, and its file has not all of them
    adapted = trained(base, tmp_path / "one", target_modules="model.layers.1.self_attn.v_proj")
    apart = log_probs(merged(base, tmp_path / "one"), tokenizer) - log_probs(adapted, tokenizer)
    assert apart.abs().max() < 1e-3


def test_an_adapter_without_weights_is_refused_and_nobody_is_asked(base, bad, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    (bad / "adapter_model.safetensors").unlink()
    with nothing_acts() as tried:
        refused_by_all(
            r"adapter .*bad: expected weights in adapter_model\.safetensors, got none", base, bad
        )
    assert tried == []


def test_weights_that_are_cut_are_refused(base, bad):
    path = bad / "adapter_model.safetensors"
    content = path.read_bytes()
    for part in (content[: len(content) // 2], content[:100], b"", b"not tensors", b"\x80\x02}q."):
        path.write_bytes(part)
        refused_by_all(r"adapter .*bad: expected tensors in adapter_model\.safetensors", base, bad)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(base, bad, value):
    path = str(bad / "adapter_model.safetensors")
    tensors = load_file(path)
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    tensors[name][0, 1] = value
    save_file(tensors, path)
    what = "NaN" if value != value else "inf"
    refused_by_all(rf"adapter .*bad: expected finite weights, got {what} in {name}", base, bad)


def test_weights_of_whole_numbers_are_refused(base, bad):
    path = bad / "adapter_model.safetensors"
    retensored(path, lambda old: {n: t.to(torch.int8) for n, t in old.items()})
    refused_by_all(r"adapter .*bad: expected weights in fp32.*, got 12 of another type", base, bad)


def test_a_malicious_pickle_is_not_read(base, bad, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    (bad / "adapter_model.safetensors").unlink()
    torch.save({"a": Evil()}, bad / "adapter_model.bin")
    refused_by_all(r"got adapter_model\.bin, which can run code when read", base, bad)
    assert not (tmp_path / "ran").exists()
