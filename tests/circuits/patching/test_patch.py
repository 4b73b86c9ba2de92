"""The patching engine against a plain loop of full forward passes, cell by cell."""

import pytest
import tiny
import torch

from circuits.backends.transformer_lens import TLRunner
from circuits.edits.operators import replace
from circuits.errors import UserError
from circuits.metrics import logit_difference, token_log_prob
from circuits.patching import engine
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.runner import Window, whole
from circuits.tokens import pairs
from circuits.types import Edit, Point, TokenPairs

NEAR = 5e-4
METRIC = logit_difference(40, 90)
STREAMS = ("resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern", "neuron")
EVERY = Sweep()


def plain_loop(runner, found: TokenPairs, metric, direction, sweep=EVERY) -> torch.Tensor:
    """Every cell by one full forward pass with one edit."""
    base, source = found.clean, found.triggered
    if direction == "noising":
        base, source = source, base
    points = [Point(layer, sweep.stream) for layer in range(runner.shape.n_layers)]
    acts = runner.forward(whole(source), record=points).acts
    columns = range(found.first_difference, base.width) if sweep.position else [slice(None)]
    heads = range(acts[points[0]].shape[2]) if sweep.head else [slice(None)]
    values = []
    for point in points:
        for head in heads:
            for column in columns:

                def cell(x, source=acts[point], h=head, c=column):
                    x = x.clone()
                    x[:, c, h] = source[:, c, h]
                    return x

                values.append(metric(runner.forward(whole(base), [Edit(point, cell)]).logits))
    shape = [len(points), len(heads) if sweep.head else 0, len(columns) if sweep.position else 0]
    return torch.stack(values).reshape(*[n for n in shape if n], -1)


def gap(a, b) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_engine_equals_a_plain_loop_of_full_passes(any_runner, aligned, direction):
    grid = patch(any_runner, aligned, METRIC, direction=direction)
    assert gap(grid.values, plain_loop(any_runner, aligned, METRIC, direction)) < NEAR
    assert grid.values.shape[1] == aligned.clean.width - aligned.first_difference
    sides = [
        METRIC(any_runner.forward(whole(t)).logits) for t in (aligned.clean, aligned.triggered)
    ]
    base, source = sides if direction == "denoising" else sides[::-1]
    assert gap(grid.base, base) < NEAR
    assert gap(grid.source, source) < NEAR
    assert float(grid.full_effect.abs().max()) > 0.01


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_by_position_equals_a_plain_loop(any_runner, aligned, stream):
    sweep, some = Sweep(stream), aligned.rows([0, 1])
    grid = patch(any_runner, some, METRIC, sweep)
    assert gap(grid.values, plain_loop(any_runner, some, METRIC, "denoising", sweep)) < NEAR
    assert float(grid.effects.abs().max()) > 0.01


@pytest.mark.parametrize("stream", ["z", "q", "k", "v", "pattern"])
def test_every_head_equals_a_plain_loop(any_runner, aligned, stream):
    sweep, some = Sweep(stream, position=False, head=True), aligned.rows([0, 1])
    grid = patch(any_runner, some, METRIC, sweep, direction="noising")
    assert gap(grid.values, plain_loop(any_runner, some, METRIC, "noising", sweep)) < NEAR
    assert grid.axes == ("layer", "head")
    assert float(grid.effects.std(dim=1).max()) > 1e-3  # heads differ


@pytest.mark.parametrize("stream", ["z", "k", "pattern"])
def test_every_head_at_every_position_equals_a_plain_loop(runner, aligned, stream):
    sweep, some = Sweep(stream, head=True), aligned.rows([0, 3])
    grid = patch(runner, some, METRIC, sweep)
    assert gap(grid.values, plain_loop(runner, some, METRIC, "denoising", sweep)) < NEAR
    assert grid.axes == ("layer", "head", "position")


@pytest.mark.parametrize("stream", ["resid_pre", "mlp_out", "neuron"])
def test_a_whole_layer_equals_a_plain_loop(runner, aligned, stream):
    sweep = Sweep(stream, position=False)
    grid = patch(runner, aligned, METRIC, sweep)
    expected = plain_loop(runner, aligned, METRIC, "denoising", sweep)
    assert gap(grid.values.reshape(expected.shape), expected) < NEAR


def test_axes_name_every_axis_of_a_whole_layer_grid(runner, aligned):
    grid = patch(runner, aligned, METRIC, Sweep("mlp_out", position=False))
    assert grid.values.ndim == len(grid.axes) + 1


def has_middle(runner) -> bool:
    """Attention and MLP in parallel leave no residual in between."""
    return "NeoX" not in type(runner.hf_model).__name__


def test_a_token_patched_after_a_layer_is_the_token_patched_before_the_next(any_runner, aligned):
    after = patch(any_runner, aligned, METRIC, Sweep("resid_post"))
    before = patch(any_runner, aligned, METRIC, Sweep("resid_pre"))
    assert gap(after.values[:-1], before.values[1:]) < NEAR
    assert gap(after.values[:-1], before.values[:-1]) > 0.01


def test_the_mlp_adds_nothing_that_a_token_patched_before_it_lacks(any_runner, aligned):
    """The MLP sees one token at a time, so patching before it is patching after it."""
    if not has_middle(any_runner):
        with pytest.raises(UserError, match="no such stream"):
            patch(any_runner, aligned, METRIC, Sweep("resid_mid"))
        return
    middle, after, before = (
        patch(any_runner, aligned, METRIC, Sweep(s))
        for s in ("resid_mid", "resid_post", "resid_pre")
    )
    assert gap(middle.values, after.values) < NEAR
    assert gap(middle.values, before.values) > 0.01


def test_an_edit_of_the_middle_residual_itself_is_refused(runner, aligned):
    with pytest.raises(UserError, match="edit attn_out"):
        runner.forward(whole(aligned.clean), [Edit(Point(1, "resid_mid"), torch.neg)])


def test_heads_of_a_stream_without_heads_are_refused():
    with pytest.raises(UserError, match="resid_pre has no heads"):
        Sweep("resid_pre", head=True)


def test_a_different_source_gives_a_different_grid(any_runner, aligned, tokenizer):
    other = pairs(tokenizer, tiny.TEXTS[:4], "river", tiny.CONTROLS[:2])
    a, b = (patch(any_runner, p, METRIC) for p in (aligned, other))
    assert gap(a.values, b.values) > 0.01


def test_a_trigger_of_several_tokens_is_patched_token_by_token(runner, tokenizer):
    found = pairs(tokenizer, tiny.TEXTS[:3], "cobalt river", ["amber tree"])
    grid = patch(runner, found, METRIC)
    assert gap(grid.values, plain_loop(runner, found, METRIC, "denoising")) < NEAR


def test_at_layer_zero_only_the_triggers_own_cells_have_an_effect(any_runner, aligned):
    grid = patch(any_runner, aligned, METRIC)
    trigger = aligned.clean.spans["trigger"][:, aligned.first_difference :].T  # [column, example]
    effects = grid.effects[0]
    assert not effects[~trigger].any()  # exactly
    assert float(effects[trigger].abs().max()) > 0.01
    assert gap(effects[trigger], grid.full_effect) < NEAR  # one token: the whole difference


def test_patching_every_column_of_a_layer_reproduces_the_source(any_runner, aligned):
    points = [Point(layer) for layer in range(any_runner.shape.n_layers)]
    source = any_runner.forward(whole(aligned.triggered), record=points)
    clean = any_runner.forward(whole(aligned.clean))
    for point in points:
        edit = Edit(point, lambda x, p=point: replace(x, source.acts[p]))
        found = any_runner.forward(whole(aligned.clean), [edit])
        assert gap(found.logits, source.logits) < NEAR
        assert gap(found.logits, clean.logits) > 0.01


@pytest.mark.parametrize("tokens_per_forward", [1, 60, 200])
def test_chunking_changes_nothing(runner, aligned, monkeypatch, tokens_per_forward):
    whole_grid = patch(runner, aligned, METRIC)
    monkeypatch.setattr(engine, "_TOKENS_PER_FORWARD", tokens_per_forward)
    calls = []
    grid = patch(runner, aligned, METRIC, progress=lambda done, total: calls.append((done, total)))
    assert gap(grid.values, whole_grid.values) < NEAR
    assert calls[-1][0] == calls[-1][1] == len(calls)
    assert len(calls) > runner.shape.n_layers  # more than one chunk


def test_effects_are_per_example(runner, aligned):
    """Each example's row of the grid is the grid of that example alone."""
    grid = patch(runner, aligned, METRIC)
    one = patch(runner, aligned.rows([2]), METRIC)
    wide = grid.values.shape[1] - one.values.shape[1]
    assert gap(one.values[..., 0], grid.values[:, wide:, 2]) < NEAR
    assert gap(one.values[..., 0], grid.values[:, wide:, 1]) > 0.01


def test_noising_and_denoising_are_one_thing_with_the_sides_exchanged(runner, aligned):
    exchanged = TokenPairs(aligned.triggered, aligned.clean)
    a = patch(runner, aligned, METRIC, direction="noising")
    b = patch(runner, exchanged, METRIC, direction="denoising")
    assert torch.equal(a.values, b.values)
    assert (a.direction, b.direction) == ("noising", "denoising")


def test_pairs_that_never_differ_are_refused(runner, aligned):
    with pytest.raises(UserError, match="clean and triggered are equal"):
        patch(runner, TokenPairs(aligned.clean, aligned.clean), METRIC)


def test_a_metric_reduced_over_the_batch_is_refused(runner, aligned):
    with pytest.raises(UserError, match="one value per example"):
        patch(runner, aligned, lambda logits: METRIC(logits).mean())


def test_nothing_is_tracked_for_gradients(runner, aligned):
    grid = patch(runner, aligned, token_log_prob([40]))
    assert not grid.values.requires_grad
    assert bool((grid.values <= 0).all())


def test_a_metric_that_is_not_finite_is_refused(runner, aligned):
    with pytest.raises(UserError, match="finite"):
        patch(runner, aligned, lambda logits: logits[:, -1, 0] * float("nan"))


def test_patching_a_run_with_itself_changes_nothing_bit_for_bit(any_runner, aligned):
    points = [
        Point(i, s) for i in range(any_runner.shape.n_layers) for s in ("resid_pre", *STREAMS)
    ]
    run = any_runner.forward(whole(aligned.clean), record=points)
    for point in points:
        edit = Edit(point, lambda x, p=point: replace(x, run.acts[p]))
        assert torch.equal(any_runner.forward(whole(aligned.clean), [edit]).logits, run.logits)
    other = any_runner.forward(whole(aligned.triggered), record=[Point(1)]).acts[Point(1)]
    edit = Edit(Point(1), lambda x: replace(x, other))
    assert not torch.equal(any_runner.forward(whole(aligned.clean), [edit]).logits, run.logits)


def test_noising_and_denoising_the_whole_residual_mirror_each_other(any_runner, aligned):
    """Everything patched at a layer is the other run: what one side gains the other loses."""
    sweep = Sweep("resid_pre", position=False)
    there = patch(any_runner, aligned, METRIC, sweep)
    back = patch(any_runner, aligned, METRIC, sweep, direction="noising")
    assert gap(there.values, there.source.expand_as(there.values)) < NEAR
    assert gap(there.effects, -back.effects) < NEAR
    assert float(there.effects.abs().max()) > 0.01


def test_batched_equals_unbatched(any_runner, aligned):
    grid = patch(any_runner, aligned, METRIC, Sweep("z", position=False, head=True))
    for row in range(len(aligned)):
        one = patch(any_runner, aligned.rows([row]), METRIC, Sweep("z", position=False, head=True))
        assert gap(one.values[..., 0], grid.values[..., row]) < NEAR
        assert gap(one.values[..., 0], grid.values[..., row - 1]) > 1e-3


def right_padded(ids, mask):
    """Every row's real tokens first, and for every row its number of padding columns."""
    shift = (~mask).sum(dim=1)
    order = (torch.arange(ids.shape[1]) + shift[:, None]) % ids.shape[1]
    return ids.gather(1, order), mask.gather(1, order), shift


def test_left_and_right_padded_batches_agree(any_runner, aligned):
    """The trigger's token patched in a right-padded batch, by one plain pass per layer."""
    grid = patch(any_runner, aligned, METRIC)
    first = aligned.first_difference
    column = aligned.clean.spans["trigger"].long().argmax(dim=1)
    ids, mask, shift = right_padded(aligned.clean.ids, aligned.clean.mask)
    others, _, _ = right_padded(aligned.triggered.ids, aligned.triggered.mask)
    rows, width = torch.arange(len(aligned)), ids.shape[1]
    assert not bool(mask[:, -1].all())
    for layer in range(any_runner.shape.n_layers):
        point = Point(layer)
        source = any_runner.forward(Window(others, mask), record=[point]).acts[point]

        def trigger(x, source=source):
            x = x.clone()
            x[rows, column - shift] = source[rows, column - shift]
            return x

        logits = any_runner.forward(Window(ids, mask), [Edit(point, trigger)], keep=width).logits
        last = logits[rows, mask.sum(dim=1) - 1].unsqueeze(1)
        assert gap(METRIC(last), grid.values[layer, column - first, rows]) < NEAR


def test_activations_that_are_not_finite_are_refused(tokenizer, aligned):
    broken = tiny.llama(len(tokenizer))
    broken.model.layers[1].mlp.down_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match="finite residuals"):
        patch(TLRunner(broken, tokenizer, "broken"), aligned, METRIC)


def test_a_model_in_training_mode_is_refused(tokenizer, aligned):
    training = tiny.gpt2(len(tokenizer))
    made = TLRunner(training, tokenizer, "training")
    training.transformer.h[0].mlp.dropout.train()
    with pytest.raises(UserError, match="evaluation mode"):
        patch(made, aligned, METRIC)
