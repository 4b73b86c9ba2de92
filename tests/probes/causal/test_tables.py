"""Cell statistics against the estimators they promise, with cells that are nothing or absent."""

import math
import time
from dataclasses import replace

import pytest
import torch
from samples import normal

from circuits.types import PatchGrid
from probes.causal.tables import GridStats, grid_stats, stats_table
from probes.stats.false_discovery import benjamini_hochberg
from probes.stats.means import mean_bounds, mean_p, ratio_bounds

HOT, STILL, GONE, PARTLY = (2, 1), (0, 0), (1, 0), (0, 1)


def a_grid(*cells: int, n: int = 24, axes=("layer", "position")) -> PatchGrid:
    """Noise, and in two axes: a cell with an effect, one that is 0, two that are not defined."""
    base = normal(n, seed=1)
    values = base + 0.3 * normal(*cells, n, seed=2)
    if len(cells) == 2:
        values[HOT] = base + 3 + 0.2 * normal(n, seed=3)
        values[STILL] = base
        values[GONE] = math.nan
        values[PARTLY][3:5] = math.nan
    labels = tuple(f"t{i}" for i in range(cells[-1]))
    full = 4 + 0.3 * normal(n, seed=4)
    return PatchGrid("denoising", "resid_pre", "gap", labels, values, base, base + full, axes)


@pytest.fixture(scope="module")
def grid() -> PatchGrid:
    return a_grid(3, 4)


def test_defined_cells_have_the_statistics_of_the_estimators(grid):
    stats = grid_stats(grid, level=0.9)
    kept = stats.defined & (grid.effects != 0).any(dim=-1)
    effects = grid.effects[kept]
    torch.testing.assert_close(stats.mean[kept], effects.mean(-1))
    low, high = mean_bounds(effects, 0.9)
    assert torch.equal(stats.low[kept], low)
    assert torch.equal(stats.high[kept], high)
    assert torch.equal(stats.p[kept], mean_p(effects))
    shares = ratio_bounds(effects, grid.full_effect, 0.9)
    found = (stats.recovery, stats.recovery_low, stats.recovery_high)
    for share, expected in zip(found, shares, strict=True):
        assert torch.equal(share[kept], expected)
    assert stats.q[HOT] < 0.05 < stats.q[2, 0]
    assert (grid_stats(grid, 0.95).low[kept] < low).all()


def test_a_cell_that_is_zero_everywhere_is_as_if_it_had_been_estimated(grid):
    stats = grid_stats(grid)
    still = grid.effects[STILL][None]
    assert (stats.mean[STILL], stats.low[STILL], stats.high[STILL]) == (0, 0, 0)
    assert stats.p[STILL] == mean_p(still)[0] == 1
    bounds = ratio_bounds(still, grid.full_effect)
    found = (stats.recovery[STILL], stats.recovery_low[STILL], stats.recovery_high[STILL])
    assert found == (0, 0, 0)
    assert [float(bound[0]) for bound in bounds] == pytest.approx([0, 0, 0], abs=1e-12)
    assert stats.high[2, 0] - stats.low[2, 0] > 0.1  # noise is not nothing
    assert stats.p[2, 0] < 1


def test_undefined_cells_have_no_statistics_and_are_no_tests(grid):
    stats = grid_stats(grid)
    n = grid.values.shape[-1]
    assert [int(stats.n[cell]) for cell in (HOT, STILL, GONE, PARTLY)] == [n, n, 0, n - 2]
    assert stats.defined[HOT]
    assert stats.defined[STILL]
    assert not stats.defined[GONE]
    assert not stats.defined[PARTLY]
    for name in GridStats.__dataclass_fields__:
        if name not in ("n", "defined"):
            values = getattr(stats, name)
            assert torch.equal(values.isnan(), ~stats.defined), name
    assert torch.equal(stats.q[stats.defined], benjamini_hochberg(stats.p[stats.defined]))
    # Counting the absent cells, or guessing p = 1 for them, would give another q.
    guessed = benjamini_hochberg(stats.p.nan_to_num(1.0))
    assert not torch.equal(guessed[stats.defined], stats.q[stats.defined])
    nothing = grid_stats(replace(grid, values=grid.values * math.nan))
    assert not nothing.defined.any()
    assert nothing.q.isnan().all()


@pytest.mark.parametrize("full", [torch.zeros(24).double(), normal(24, seed=7), None])
def test_without_a_full_effect_there_is_no_recovery_and_no_error(grid, full):
    source = torch.full_like(grid.base, math.nan) if full is None else grid.base + full
    stats = grid_stats(replace(grid, source=source))
    for share in (stats.recovery, stats.recovery_low, stats.recovery_high):
        assert share.isnan().all()
    torch.testing.assert_close(stats.low, grid_stats(grid).low, equal_nan=True)
    assert not grid_stats(grid).recovery[HOT].isnan()


def test_the_table_has_a_row_per_cell_that_agrees_with_the_tensors(grid):
    stats = grid_stats(grid)
    table = stats_table(grid, stats)
    assert list(table.columns) == [
        "layer",
        "position",
        "label",
        "n",
        "mean",
        "low",
        "high",
        "p",
        "q",
        "recovery",
        "recovery_low",
        "recovery_high",
        "defined",
    ]
    assert len(table) == 12
    for row in table.to_dict("records"):
        cell = (row["layer"], row["position"])
        assert row["label"] == f"t{row['position']}"
        assert row["defined"] == bool(stats.defined[cell])
        for name in ("n", "mean", "low", "high", "p", "q", "recovery"):
            assert row[name] == pytest.approx(float(getattr(stats, name)[cell]), nan_ok=True)
    assert table.loc[table["mean"].idxmax(), ["layer", "position"]].tolist() == list(HOT)


@pytest.mark.parametrize("n", [2, 3, 12, 13])
def test_few_examples_and_half_precision_are_enough(n):
    grid = a_grid(3, 4, n=n)
    tensors = {name: getattr(grid, name).bfloat16() for name in ("values", "base", "source")}
    for each in (grid, replace(grid, **tensors)):
        stats = grid_stats(each)
        assert stats.mean.dtype == stats.p.dtype == stats.recovery.dtype == torch.float64
        assert (stats.high - stats.low)[HOT] > 0
        assert n == 2 or stats.p[HOT] < 0.05


@pytest.mark.parametrize(
    ("axes", "shape", "labelled"),
    [
        (("layer", "head"), (3, 4), False),
        (("layer", "head", "position"), (3, 2, 5), True),
        (("layer",), (6,), False),
        (("cell",), (5,), True),
        (("sender",), (5,), True),
    ],
)
def test_every_kind_of_grid_has_its_columns(axes, shape, labelled):
    a = a_grid(*shape, axes=axes)
    table = stats_table(a, grid_stats(a))
    assert tuple(table.columns[: len(axes)]) == axes
    assert ("label" in table.columns) is labelled
    assert table[list(axes)].drop_duplicates().shape[0] == len(table) == math.prod(shape)


def test_a_large_grid_takes_seconds_and_one_cell_of_thousands_can_be_found():
    grid = a_grid(30, 9, 60, n=32, axes=("layer", "head", "position"))
    hot = (12, 5, 40)
    planted = grid.values.clone()
    planted[hot] = grid.base + 1
    start = time.process_time()
    stats = grid_stats(replace(grid, values=planted))
    assert time.process_time() - start < 15
    assert (stats.q <= 0.05).nonzero().tolist() == [list(hot)]
    assert abs(float((stats.p <= 0.05).double().mean()) - 0.05) < 0.01  # the rest is noise


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": ("a",)}, "expected 4 labels, got 1"),
        ({"axes": ("layer",)}, "expected 2 axes"),
        ({"values": normal(3, 4, 1), "base": normal(1), "source": normal(1)}, "n >= 2"),
        ({"values": normal(0, 4, 24)}, "n >= 2"),
    ],
)
def test_a_grid_that_cannot_be_tabled_is_refused(grid, change, says):
    changed = replace(grid, **change)
    with pytest.raises(ValueError, match=says) as caught:
        stats_table(changed, grid_stats(changed))
    assert "\n" not in str(caught.value)
