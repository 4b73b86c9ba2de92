"""Perturbed models differ from the one given by what was asked, and the one given stays."""

import math
from itertools import pairwise

import pytest
import tiny
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from circuits import perturb
from circuits.architectures import blocks_of
from circuits.errors import UserError

CHANGED = {
    "rounded": lambda model: perturb.rounded_weights(model, 3),
    "rounded in groups": lambda model: perturb.rounded_weights(model, 3, group=8),
    "pruned": lambda model: perturb.pruned(model, 0.4),
    "noisy": lambda model: perturb.noisy_weights(model, 0.1, seed=2),
}
UNCHANGED = {
    "pruned": lambda model: perturb.pruned(model, 0),
    "noisy": lambda model: perturb.noisy_weights(model, 0, seed=2),
}


@pytest.fixture(params=["llama", "gpt2", "gpt_neox"])
def model(request, tokenizer):
    return tiny.ARCHITECTURES[request.param](len(tokenizer))


@pytest.fixture(scope="module")
def llama(tokenizer):
    return tiny.llama(len(tokenizer))


def values(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def matrices(model):
    """Weights of linear layers as [out, inputs] by name, the unembedding left out."""
    return {
        name: (m.weight.T if isinstance(m, Conv1D) else m.weight).detach()
        for name, m in model.named_modules()
        if isinstance(m, nn.Linear | Conv1D) and m is not model.get_output_embeddings()
    }


@torch.no_grad()
def logits(model, seed=1):
    ids = torch.randint(0, 300, (2, 7), generator=torch.Generator().manual_seed(seed))
    return model(input_ids=ids, use_cache=False).logits


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("name", CHANGED)
def test_the_model_given_stays_and_only_matrices_of_the_copy_change(name, model):
    before = values(model)
    new = CHANGED[name](model)
    assert equal(values(model), before)
    of_matrices = {f"{name}.weight" for name in matrices(model)}
    differing = {k for k, v in values(new).items() if not torch.equal(v, before[k])}
    assert differing == of_matrices
    assert not torch.allclose(logits(new), logits(model), atol=1e-3)


@pytest.mark.parametrize("name", UNCHANGED)
def test_a_perturbation_of_size_nought_changes_nothing(name, model):
    assert equal(values(UNCHANGED[name](model)), values(model))


def test_rows_are_rounded_to_hand_computed_multiples():
    weight = torch.tensor([[3.0, -1.4, 0.4, 1.6], [0.0, 0.0, 0.0, 0.0], [-0.3, 0.1, 0.0, 0.2]])
    # 3 bits hold -3..3: the first row's scale is 1, the third's 0.1.
    expected = torch.tensor([[3.0, -1.0, 0.0, 2.0], [0.0] * 4, [-0.3, 0.1, 0.0, 0.2]])
    assert torch.allclose(perturb.rounded(weight, 3), expected, atol=1e-7)
    # 2 bits hold -1..1.
    coarse = torch.tensor([[3.0, 0.0, 0.0, 3.0], [0.0] * 4, [-0.3, 0.0, 0.0, 0.3]])
    assert torch.allclose(perturb.rounded(weight, 2), coarse, atol=1e-7)
    # In pairs, the second half of the first row has a scale of its own.
    pairs = torch.tensor([[3.0, 0.0, 0.0, 1.6], [0.0] * 4, [-0.3, 0.0, 0.0, 0.2]])
    assert torch.allclose(perturb.rounded(weight, 2, group=2), pairs, atol=1e-7)


@pytest.mark.parametrize("group", [None, 8])
def test_rounding_has_few_levels_errs_by_half_a_step_at_most_and_is_idempotent(group, llama):
    for bits in range(2, 9):
        new = perturb.rounded_weights(llama, bits, group)
        for name, weight in matrices(new).items():
            old = matrices(llama)[name]
            size = group or old.shape[1]
            most = 2 ** (bits - 1) - 1
            step = old.unflatten(1, (-1, size)).abs().amax(-1, keepdim=True) / most
            error = (weight - old).unflatten(1, (-1, size)).abs()
            assert bool((error <= step * 0.5001).all())
            assert max(len(row.unique()) for row in weight.reshape(-1, size)) <= 2 * most + 1
        again = perturb.rounded_weights(new, bits, group)
        for name, weight in matrices(again).items():
            assert torch.allclose(weight, matrices(new)[name], rtol=1e-6, atol=0)


def test_fewer_bits_and_larger_groups_err_more(llama):
    def error(bits, group=None):
        new = matrices(perturb.rounded_weights(llama, bits, group))
        return sum(float((new[n] - w).square().sum()) for n, w in matrices(llama).items())

    errors = [error(bits) for bits in range(8, 1, -1)]
    assert errors == sorted(errors)
    assert error(4, group=4) < error(4, group=16) < error(4)


def test_eight_bits_are_multiples_of_each_rows_largest_over_127(llama):
    weight = torch.tensor([[127.0, 1.4, -0.6], [0.0, 0.0, 0.0], [-12.7, 0.06, 0.0]])
    expected = torch.tensor([[127.0, 1.0, -1.0], [0.0, 0.0, 0.0], [-12.7, 0.1, 0.0]])
    torch.testing.assert_close(perturb.rounded(weight, 8), expected)
    assert not equal(
        values(perturb.rounded_weights(llama, 8)), values(perturb.rounded_weights(llama, 7))
    )


def test_the_smallest_weights_and_no_others_are_pruned(model):
    new = matrices(perturb.pruned(model, 0.3))
    for name, old in matrices(model).items():
        gone = new[name] == 0
        assert int(gone.sum()) == round(0.3 * old.numel())
        assert old[gone].abs().max() <= old[~gone].abs().min()
        assert torch.equal(new[name][~gone], old[~gone])
    assert all(bool((w == 0).all()) for w in matrices(perturb.pruned(model, 1)).values())


def test_pruning_takes_exactly_its_share_of_equal_weights(tokenizer):
    model = tiny.llama(len(tokenizer))
    for weight in matrices(model).values():
        weight.fill_(0.5)
    for weight in matrices(perturb.pruned(model, 0.25)).values():
        assert weight.flatten().tolist().count(0) == weight.numel() / 4


def test_weight_noise_is_seeded_and_as_large_as_asked_in_every_matrix(model):
    new, same = (perturb.noisy_weights(model, 0.2, seed=5) for _ in range(2))
    assert equal(values(new), values(same))
    assert not equal(values(new), values(perturb.noisy_weights(model, 0.2, seed=6)))
    seen = []
    for name, old in matrices(model).items():
        noise = matrices(new)[name] - old
        error = 1 / math.sqrt(2 * noise.numel())
        ratio = float(noise.std() / old.std(correction=0))
        assert ratio == pytest.approx(0.2, rel=5 * error)
        assert abs(float(noise.mean())) < 5 * float(noise.std()) / math.sqrt(noise.numel())
        seen.append(noise.flatten()[:50])
    drawn = torch.stack(seen)
    assert float(torch.corrcoef(drawn).tril(-1).abs().max()) < 0.7  # no noise is used twice


def residuals(model, change=None):
    """What every block hands on in one pass; ``change`` is entered around it."""
    blocks, seen, handles = blocks_of(model)[0], [], []
    for block in blocks:  # registered before the noise, so that each sees its own block's output

        def keep(_m, args, out):
            seen.append((args[0], out if isinstance(out, torch.Tensor) else out[0]))

        handles.append(block.register_forward_hook(keep))
    if change is None:
        logits(model)
    else:
        with change:
            logits(model)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_activation_noise_is_as_large_as_asked_at_every_token_of_every_block(name, tokenizer):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    seen = residuals(model, perturb.noisy_activations(model, 0.1, seed=3))
    for (_, clean), (entering, _) in pairwise(seen):
        noise = entering - clean  # what one block hands on and what the next reads
        size = clean.square().mean(-1, keepdim=True).sqrt()
        relative = noise / size
        assert float(relative.std()) == pytest.approx(0.1, rel=5 / math.sqrt(2 * noise.numel()))
        by_token = relative.square().mean(-1).sqrt()
        assert 0.03 < float(by_token.min()) < float(by_token.max()) < 0.2
    still = residuals(model)
    assert all(torch.equal(a, b) for (_, a), (b, _) in pairwise(still))


def test_activation_noise_is_seeded_and_leaves_model_and_hooks_as_they_were(model):
    before, plain, attached = values(model), logits(model), hooks(model)
    noisy = []
    for seed in (3, 3, 4):
        with perturb.noisy_activations(model, 0.1, seed):
            assert hooks(model) == attached + len(blocks_of(model)[0])
            noisy.append(logits(model))
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.allclose(noisy[0], noisy[2], atol=1e-3)
    assert not torch.allclose(noisy[0], plain, atol=1e-3)
    assert equal(values(model), before)
    assert hooks(model) == attached
    assert torch.equal(logits(model), plain)
    with perturb.noisy_activations(model, 0, seed=3):
        assert torch.equal(logits(model), plain)


def test_hooks_are_gone_after_an_error(llama):
    attached = hooks(llama)
    with pytest.raises(KeyError), perturb.noisy_activations(llama, 0.1, seed=3):
        raise KeyError
    assert hooks(llama) == attached


def test_bad_perturbations_are_refused(llama, tokenizer):
    other = tiny.llama(len(tokenizer))
    other.config.model_type = "mamba"
    for call, said in {
        lambda: perturb.rounded_weights(llama, 1): "bits: expected 2 to 8, got 1",
        lambda: perturb.rounded_weights(llama, 9): "bits: expected 2 to 8, got 9",
        lambda: perturb.rounded_weights(llama, 4, group=7): "whole groups, got 7 for rows of 32",
        lambda: perturb.rounded_weights(llama, 4, group=0): "whole groups, got 0",
        lambda: perturb.pruned(llama, -0.1): "share: expected 0 to 1, got -0.1",
        lambda: perturb.pruned(llama, 1.1): "share: expected 0 to 1",
        lambda: perturb.pruned(llama, math.nan): "share: expected 0 to 1",
        lambda: perturb.noisy_weights(llama, -1, 0): "scale: expected a number from 0 on",
        lambda: perturb.noisy_weights(llama, math.inf, 0): "scale: expected a number from 0 on",
        lambda: perturb.noisy_activations(llama, math.nan, 0).__enter__(): "scale: expected",
        lambda: perturb.noisy_activations(other, 0.1, 0).__enter__(): "expected one of llama",
    }.items():
        with pytest.raises(UserError, match=said):
            call()
