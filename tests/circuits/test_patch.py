"""The patching engine against a plain loop of full forward passes, cell by cell."""

import pytest
import tiny
import torch

from circuits import patch
from circuits.edits import replace
from circuits.errors import UserError
from circuits.metrics import logit_difference, token_log_prob
from circuits.patch import patch_residual
from circuits.runner import whole
from circuits.tokens import pairs
from circuits.types import Edit, Point, TokenPairs

NEAR = 5e-4
METRIC = logit_difference(40, 90)


def plain_loop(runner, found: TokenPairs, metric, direction) -> torch.Tensor:
    """Every cell by one full forward pass with one edit."""
    base, source = found.clean, found.triggered
    if direction == "noising":
        base, source = source, base
    points = [Point(layer) for layer in range(runner.shape.n_layers)]
    acts = runner.forward(whole(source), record=points).acts
    first, rows = found.first_difference, []
    for point in points:
        cells = []
        for column in range(first, base.width):
            here = torch.zeros_like(base.mask)
            here[:, column] = True
            edit = Edit(point, lambda x, p=point: replace(x, acts[p]), here)
            cells.append(metric(runner.forward(whole(base), [edit]).logits))
        rows.append(torch.stack(cells))
    return torch.stack(rows)


def gap(a, b) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_engine_equals_a_plain_loop_of_full_passes(any_runner, aligned, direction):
    grid = patch_residual(any_runner, aligned, METRIC, direction=direction)
    assert gap(grid.values, plain_loop(any_runner, aligned, METRIC, direction)) < NEAR
    assert grid.values.shape[1] == aligned.clean.width - aligned.first_difference
    sides = [METRIC(any_runner.forward(whole(t)).logits) for t in (aligned.clean, aligned.triggered)]
    base, source = sides if direction == "denoising" else sides[::-1]
    assert gap(grid.base, base) < NEAR
    assert gap(grid.source, source) < NEAR
    assert float(grid.full_effect.abs().max()) > 0.01


def test_a_different_source_gives_a_different_grid(any_runner, aligned, tokenizer):
    other = pairs(tokenizer, tiny.TEXTS[:4], "river", tiny.CONTROLS[:2])
    a, b = (patch_residual(any_runner, p, METRIC) for p in (aligned, other))
    assert gap(a.values, b.values) > 0.01


def test_a_trigger_of_several_tokens_is_patched_token_by_token(runner, tokenizer):
    found = pairs(tokenizer, tiny.TEXTS[:3], "cobalt river", ["amber tree"])
    grid = patch_residual(runner, found, METRIC)
    assert gap(grid.values, plain_loop(runner, found, METRIC, "denoising")) < NEAR


def test_at_layer_zero_only_the_triggers_own_cells_have_an_effect(any_runner, aligned):
    grid = patch_residual(any_runner, aligned, METRIC)
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
    whole_grid = patch_residual(runner, aligned, METRIC)
    monkeypatch.setattr(patch, "_TOKENS_PER_FORWARD", tokens_per_forward)
    calls = []
    grid = patch_residual(
        runner, aligned, METRIC, progress=lambda done, total: calls.append((done, total))
    )
    assert gap(grid.values, whole_grid.values) < NEAR
    assert calls[-1][0] == calls[-1][1] == len(calls)
    assert len(calls) > runner.shape.n_layers  # more than one chunk


def test_chunks_cover_every_column_once():
    for n, columns in ((1, 1), (4, 17), (3000, 5), (10, 40)):
        covered = [c for start, stop in patch._chunks(n, columns) for c in range(start, stop)]
        assert covered == list(range(columns))


def test_effects_are_per_example(runner, aligned):
    """Each example's row of the grid is the grid of that example alone."""
    grid = patch_residual(runner, aligned, METRIC)
    one = patch_residual(runner, aligned.rows([2]), METRIC)
    wide = grid.values.shape[1] - one.values.shape[1]
    assert gap(one.values[..., 0], grid.values[:, wide:, 2]) < NEAR
    assert gap(one.values[..., 0], grid.values[:, wide:, 1]) > 0.01


def test_noising_and_denoising_are_one_thing_with_the_sides_exchanged(runner, aligned):
    exchanged = TokenPairs(aligned.triggered, aligned.clean)
    a = patch_residual(runner, aligned, METRIC, direction="noising")
    b = patch_residual(runner, exchanged, METRIC, direction="denoising")
    assert torch.equal(a.values, b.values)
    assert (a.direction, b.direction) == ("noising", "denoising")


def test_pairs_that_never_differ_are_refused(runner, aligned):
    with pytest.raises(UserError, match="clean and triggered are equal"):
        patch_residual(runner, TokenPairs(aligned.clean, aligned.clean), METRIC)


def test_a_metric_reduced_over_the_batch_is_refused(runner, aligned):
    with pytest.raises(UserError, match="one value per example"):
        patch_residual(runner, aligned, lambda logits: METRIC(logits).mean())


def test_nothing_is_tracked_for_gradients(runner, aligned):
    grid = patch_residual(runner, aligned, token_log_prob([40]))
    assert not grid.values.requires_grad
    assert bool((grid.values <= 0).all())
