"""Changes of weights are exact, and the model that they start from stays as it was."""

import pytest
import tiny
import torch
from adapters_of_kinds import random_lora

from circuits import lora
from circuits.edits.adapters import LowRank, merged, mixed
from circuits.errors import UserError
from experiments.organisms.places import read_adapter
from experiments.organisms.training import Settings, trainable
from experiments.runs import files
from experiments.verify.result import Condition
from experiments.verify.survival import Changed, conditions, tuned


def saved_adapter(folder, base, seed, rank=2):
    random_lora(base, rank, seed).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, tokenizer):
    root = tmp_path_factory.mktemp("adapters")
    return [
        saved_adapter(root / str(seed), tiny.llama(len(tokenizer), layers=2), seed, rank)
        for seed, rank in ((1, 2), (2, 3))
    ]


@pytest.fixture
def base(tokenizer):
    return tiny.llama(len(tokenizer), layers=2)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b, atol=0.0):
    assert a.keys() == b.keys()
    return all(torch.allclose(a[name], b[name], atol=atol, rtol=0) for name in a)


def test_a_merged_change_is_the_adapter_as_peft_merges_it(base, adapters, tokenizer):
    for path in adapters:
        fresh = tiny.llama(len(tokenizer), layers=2)
        expected = lora.merge_adapter(fresh, path, "tiny")[0]
        found = merged(base, read_adapter(path).change())
        assert same(weights(found), weights(expected), 1e-6)
        assert not same(weights(found), weights(base), 1e-3)


def test_weight_one_is_the_one_adapter_and_weight_zero_the_other(base, adapters):
    a, b = (read_adapter(path).change() for path in adapters)
    assert same(weights(merged(base, mixed(a, b, 1.0))), weights(merged(base, a)), 1e-6)
    assert same(weights(merged(base, mixed(a, b, 0.0))), weights(merged(base, b)), 1e-6)
    assert not same(weights(merged(base, mixed(a, b, 0.5))), weights(merged(base, a)), 1e-3)


def test_deltas_add_and_ranks_stand_side_by_side(adapters):
    a, b = (read_adapter(path).change() for path in adapters)
    found = mixed(a, b, 0.25)
    assert found.keys() == a.keys() == b.keys()
    for name, part in found.items():
        assert part.up.shape[1] == part.down.shape[0] == 2 + 3
        expected = 0.25 * a[name].whole() + 0.75 * b[name].whole()
        torch.testing.assert_close(part.whole(), expected, atol=1e-6, rtol=0)
    averaged = 0.5 * (a[name].up + b[name].up[:, :2]) @ (0.5 * (a[name].down + b[name].down[:2]))
    assert not torch.allclose(mixed(a, b, 0.5)[name].whole(), averaged, atol=1e-2)


def test_an_adapter_of_some_matrices_only_is_weighted_alone_there(adapters):
    a, b = (read_adapter(path).change() for path in adapters)
    name = next(iter(a))
    found = mixed({name: a[name]}, b, 0.5)
    others = [other for other in b if other != name]
    torch.testing.assert_close(found[others[0]].whole(), 0.5 * b[others[0]].whole())


def test_the_base_stays_bit_identical_under_every_change(base, adapters, tokenizer):
    before, training = weights(base), base.training
    own, other = (read_adapter(path) for path in adapters)
    changed = Changed("tiny", base, tokenizer, own, other)
    for condition in conditions(ladder=()):
        model = changed.model(condition)
        assert model.runner.hf_model is not base
    assert same(weights(base), before)
    assert base.training == training
    assert not any("hook" in name for name, _ in base.named_modules())


def test_unchanged_and_merged_with_all_the_weight_are_one_model(base, adapters, tokenizer):
    own, other = (read_adapter(path) for path in adapters)
    changed = Changed("tiny", base, tokenizer, own, other)
    ids = torch.tensor([[5, 9, 12, 7]])
    logits = [
        changed.model(condition).runner.hf_model(ids).logits
        for condition in (
            Condition("unchanged", 0),
            Condition("merged", 1.0),
            Condition("merged", 0.0),
        )
    ]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-4, rtol=0)
    assert not torch.allclose(logits[0], logits[2], atol=1e-2)


class FakeTrainee:
    """Adds one to every tensor when it is trained."""

    def __init__(self, names):
        self.value: dict[str, torch.Tensor] = {name: torch.zeros(1) for name in names}

    def restart(self, state=None):
        self.value = dict(state or {})

    def state(self) -> dict[str, torch.Tensor]:
        return self.value

    def train(self, examples, settings, tick):
        self.trained = (list(examples), settings)
        self.value = {name: value + 1 for name, value in self.value.items()}
        return []


def test_fine_tuning_goes_on_from_the_adapters_own_tensors(adapters):
    own = read_adapter(adapters[0])
    trainee = FakeTrainee(own.tensors)
    for _ in range(2):  # each condition starts from the adapter, not from the one before
        found = tuned(trainee, own, [])
        assert all(torch.equal(found[name], value + 1) for name, value in own.tensors.items())
    assert (trainee.trained[1].epochs, trainee.trained[1].rank) == (1, 2)
    with pytest.raises(UserError, match="every linear layer"):
        tuned(FakeTrainee(["other"]), own, [])


def test_tensors_are_named_as_a_trained_models_parameters_are(base, adapters):
    own = read_adapter(adapters[0])
    made = trainable(base, Settings(rank=2, alpha=6))
    assert {n for n, p in made.named_parameters() if p.requires_grad} == set(own.tensors)
    assert {name.split("layers.")[1] for name in own.change()} == {
        f"{layer}.{kind}"
        for layer in (0, 1)
        for kind in (
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        )
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"use_dora": True}, "got use_dora"),
        ({"rank_pattern": {"q_proj": 4}}, "got rank_pattern"),
        ({"peft_type": "IA3"}, "got IA3"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "got layer_replication"),
        ({"alora_invocation_tokens": [1, 2]}, "got alora_invocation_tokens"),
    ],
)
def test_an_adapter_that_is_no_plain_lora_is_told(adapters, tmp_path, changes, why):
    config = files.read_json(adapters[0] / "adapter_config.json")
    files.write_json(tmp_path / "adapter_config.json", {**config, **changes})
    with pytest.raises(UserError, match=why):
        read_adapter(tmp_path)
    with pytest.raises(UserError, match="with adapter_config"):
        read_adapter(tmp_path / "none")


def test_a_change_for_another_model_is_told(adapters, tokenizer):
    change = read_adapter(adapters[0]).change()
    other = tiny.llama(len(tokenizer), layers=1)
    with pytest.raises(UserError, match=r"expected a model with a matrix model\.layers\.1"):
        merged(other, change)
    small = {name: part for name, part in change.items() if "layers.0" in name}
    wide = tiny.llama(len(tokenizer), layers=1, intermediate_size=64)
    with pytest.raises(UserError, match="got another"):
        merged(wide, small)
    name, part = next(iter(small.items()))
    odd = {name: LowRank(part.up[:3], part.down)}
    with pytest.raises(UserError, match="adapters of one model"):
        mixed(small, odd, 0.5)
