"""Activations of one model patched into another, against a plain loop; coordinates are checked."""

import copy

import pytest
import tiny
import torch

from circuits.backends.plain import PlainRunner
from circuits.errors import UserError
from circuits.metrics import token_log_prob
from circuits.patching.between import agreement, patch_between, require_shared_coordinates
from circuits.patching.cells import Place, Sweep, cell
from circuits.runner import whole
from circuits.types import Edit, Point

METRIC = token_log_prob([40])
NEAR = 1e-4


@pytest.fixture(scope="module")
def base(tokenizer):
    return PlainRunner(tiny.llama(len(tokenizer), layers=3))


@pytest.fixture(scope="module")
def tuned(base):
    """The base with a little noise on its matrices."""
    model = copy.deepcopy(base.hf_model)
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "proj" in name:
            weight.data += 0.03 * torch.randn(weight.shape, generator=generator)
    return PlainRunner(model)


@pytest.fixture
def tokens(aligned):
    return aligned.triggered


def gap(a, b) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("stream", ["attn_out", "mlp_out", "resid_pre"])
def test_every_layer_equals_a_full_pass_with_the_others_activation(base, tuned, tokens, stream):
    grid = patch_between(base, tuned, tokens, METRIC, Sweep(stream, position=False))
    for layer in range(3):
        point = Point(layer, stream)
        theirs = tuned.forward(whole(tokens), record=[point]).acts[point]
        edit = Edit(point, lambda x, y=theirs: y.clone())
        plain = METRIC(base.forward(whole(tokens), [edit]).logits)
        assert gap(grid.values[layer], plain) < NEAR
    assert gap(grid.base, METRIC(base.forward(whole(tokens)).logits)) < NEAR
    assert gap(grid.source, METRIC(tuned.forward(whole(tokens)).logits)) < NEAR
    assert gap(grid.base, grid.source) > 0.01


def test_a_span_of_heads_is_exchanged_there_alone(base, tuned, tokens):
    what = cell(Place(1, "z", span="last", heads=(2,)))
    grid = patch_between(base, tuned, tokens, METRIC, [what])
    point = Point(1, "z")
    theirs = tuned.forward(whole(tokens), record=[point]).acts[point]

    def change(x):
        x = x.clone()
        x[:, -1, 2] = theirs[:, -1, 2]
        return x

    plain = METRIC(base.forward(whole(tokens), [Edit(point, change)]).logits)
    assert gap(grid.values[0], plain) < NEAR


def test_all_outputs_together_make_the_other_model(base, tuned, tokens):
    outputs = [Place(layer, s) for layer in range(3) for s in ("attn_out", "mlp_out")]
    grid = patch_between(base, tuned, tokens, METRIC, [cell(*outputs)])
    assert gap(grid.values[0], grid.source) < NEAR  # embedding and unembedding are equal


def test_a_model_against_itself_has_no_effect(base, tokens):
    same = PlainRunner(copy.deepcopy(base.hf_model))
    grid = patch_between(base, same, tokens, METRIC, Sweep("mlp_out", position=False))
    assert bool((grid.effects == 0).all())


def test_a_light_change_shares_coordinates(base, tuned, aligned):
    assert require_shared_coordinates(base, tuned, aligned.clean) > 0.8
    assert agreement(base, base, aligned.clean) == pytest.approx(torch.ones(3).tolist(), abs=1e-5)


def test_the_same_function_in_other_coordinates_is_refused(base, aligned):
    """A permutation of the residual's channels leaves the model's answers as they are."""
    turned = copy.deepcopy(base.hf_model)
    order = torch.randperm(base.shape.d_model, generator=torch.Generator().manual_seed(1))
    for name, weight in turned.named_parameters():
        reads = ("embed_tokens", "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head")
        if any(part in name for part in reads):
            weight.data = weight.data[:, order].clone()
        elif "o_proj" in name or "down_proj" in name or "norm" in name:
            weight.data = weight.data[order].clone()
    other = PlainRunner(turned)
    same = gap(
        base.forward(whole(aligned.clean)).logits, other.forward(whole(aligned.clean)).logits
    )
    assert same < 1e-3
    with pytest.raises(UserError, match="do not share coordinates"):
        require_shared_coordinates(base, other, aligned.clean)


def test_a_model_of_another_size_is_refused(base, tokenizer, aligned):
    other = PlainRunner(tiny.llama(len(tokenizer), layers=2))
    with pytest.raises(UserError, match="layers and channels"):
        require_shared_coordinates(base, other, aligned.clean)
