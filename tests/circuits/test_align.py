"""Unequal lengths are aligned by named spans; what has no counterpart is undefined."""

import pytest
import tiny
import torch

from circuits.align import SpanPairs, first_difference
from circuits.errors import UserError
from circuits.metrics import logit_difference
from circuits.patching.cells import Place, Sweep, cell
from circuits.patching.patch import patch
from circuits.runner import whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, Point, TokenPairs

METRIC = logit_difference(40, 90)
NEAR = 5e-4
LONG = "cobalt river tree"


@pytest.fixture(scope="module")
def uneven(tokenizer) -> SpanPairs:
    """Prompts without and with a trigger of three tokens."""
    texts = tiny.TEXTS[:4]
    return SpanPairs(prompts_batch(tokenizer, texts), prompts_batch(tokenizer, texts, LONG))


def gap(a, b) -> float:
    return float((a - b).abs().max())


def test_counterparts_hold_the_same_token_of_the_same_span(uneven):
    found = uneven.counterpart(uneven.triggered, uneven.clean)
    has = found >= 0
    same = uneven.triggered.ids == uneven.clean.ids.gather(1, found.clamp(min=0))
    assert bool(same[has].all())
    assert bool(has[:, -1].all())
    assert torch.equal(~has & uneven.triggered.mask, uneven.triggered.spans["trigger"])
    back = uneven.counterpart(uneven.clean, uneven.triggered)
    assert torch.equal(back >= 0, uneven.clean.mask)


def test_the_first_difference_is_where_the_trigger_begins(uneven):
    triggered = uneven.triggered
    found = first_difference(triggered, uneven.clean, uneven.counterpart(triggered, uneven.clean))
    starts = triggered.spans["trigger"].long().argmax(dim=1)
    assert found == int(starts.min())


def test_equal_prompts_never_differ(uneven):
    same = uneven.counterpart(uneven.clean, uneven.clean)
    assert first_difference(uneven.clean, uneven.clean, same) == uneven.clean.width


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_defined_cells_equal_plain_edits_and_the_rest_is_undefined(any_runner, uneven, direction):
    base, source = uneven.clean, uneven.triggered
    if direction == "noising":
        base, source = source, base
    there = uneven.counterpart(base, source)
    grid = patch(any_runner, uneven, METRIC, Sweep("resid_post"), direction=direction)
    first = base.width - grid.values.shape[1]
    points = [Point(layer, "resid_post") for layer in range(any_runner.shape.n_layers)]
    acts = any_runner.forward(whole(source), record=points).acts
    for layer, point in enumerate(points):
        for column in range(first, base.width):
            has = there[:, column] >= 0

            def apply(x, column=column, has=has, point=point):
                x = x.clone()
                rows = torch.arange(len(x))[has]
                x[rows, column] = acts[point][rows, there[rows, column]]
                return x

            found = grid.values[layer, column - first]
            assert torch.equal(found.isnan(), ~has)
            if bool(has.any()):
                plain = METRIC(any_runner.forward(whole(base), [Edit(point, apply)]).logits)
                assert gap(found[has], plain[has]) < NEAR
    undefined = grid.values.isnan().any(dim=0).any(dim=-1)
    # Every column without trigger has a counterpart; the trigger's own columns have none.
    assert bool(undefined.any()) == (direction == "noising")
    assert not bool(undefined[-1])
    assert gap(grid.base, METRIC(any_runner.forward(whole(base)).logits)) < NEAR
    assert gap(grid.source, METRIC(any_runner.forward(whole(source)).logits)) < NEAR
    assert float(grid.effects.nan_to_num().abs().max()) > 0.01


def test_equal_lengths_give_the_grid_of_aligned_pairs(runner, aligned):
    expected = patch(runner, aligned, METRIC)
    found = patch(runner, SpanPairs(aligned.clean, aligned.triggered), METRIC)
    has = ~found.values.isnan()
    assert gap(found.values[has], expected.values[has]) < NEAR
    assert bool(has[:, -1].all())


def test_a_span_of_other_length_is_undefined_and_one_that_is_equal_is_not(runner, uneven):
    cells = [cell(Place(1, span="last")), cell(Place(1, span="template")), cell(Place(1))]
    grid = patch(runner, uneven, METRIC, cells)
    assert not bool(grid.values.isnan().any())
    keyed = patch(runner, uneven, METRIC, [cell(Place(1, span="trigger"))], direction="noising")
    assert bool(keyed.values.isnan().all())


def test_recovery_of_undefined_cells_is_not_a_number(runner, uneven):
    grid = patch(runner, uneven, METRIC, direction="noising")
    assert torch.equal(grid.recovery().isnan(), grid.values.isnan().any(dim=-1))


@pytest.mark.parametrize("sweep", [Sweep("pattern"), Sweep("pattern", position=False, head=True)])
def test_patterns_of_unequal_lengths_are_refused(runner, uneven, sweep):
    with pytest.raises(UserError, match="pattern"):
        patch(runner, uneven, METRIC, sweep)


def test_unequal_lengths_without_alignment_are_refused(uneven):
    with pytest.raises(UserError, match="not aligned"):
        TokenPairs(uneven.clean, uneven.triggered)


def test_other_prompts_and_unknown_spans_are_refused(uneven):
    with pytest.raises(UserError, match="4 clean and 2 triggered"):
        SpanPairs(uneven.clean, uneven.triggered.rows([0, 1]))
    with pytest.raises(UserError, match="no common span"):
        SpanPairs(uneven.clean, uneven.triggered, spans=("nothing",))
