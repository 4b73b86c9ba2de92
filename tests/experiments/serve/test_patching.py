"""A patching run by slices is the engine's grid, whatever else runs between them."""

from dataclasses import replace

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.metrics import token_log_prob
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.tokens import pairs
from circuits.types import PatchGrid
from experiments.serve.patching import effects_of, patching, strongest

N = 6  # more than are patched at once


def grid_of(job) -> PatchGrid:
    found = list(job)[-1].grid
    assert found is not None
    return found


@pytest.mark.parametrize("stream", ["resid_pre", "z"])
def test_patching_by_slices_is_the_grid_of_the_engine(subject, stream):
    states = list(patching(subject, stream, "noising", N))
    assert all(0 <= s.done <= s.total for s in states)
    found = states[-1].grid
    assert found is not None
    aligned = pairs(subject.model.tokenizer, subject.texts[:N], tiny.TRIGGER, subject.controls)
    first = subject.model.tokenizer("Sure", add_special_tokens=False)["input_ids"][0]
    sweep = Sweep(stream, position=stream != "z", head=stream == "z")
    runner = subject.model.runner
    grid = patch(runner, aligned, token_log_prob([first]), sweep, direction="noising")
    assert torch.allclose(found.values, grid.values, atol=1e-4)
    assert torch.allclose(found.source, grid.source, atol=1e-4)
    assert found.axes == grid.axes
    other = patch(runner, aligned, token_log_prob([first]), sweep, direction="denoising")
    assert not torch.allclose(found.values, other.values, atol=1e-4)


def test_a_cells_prompts_come_largest_effect_first(subject):
    grid = grid_of(patching(subject, "resid_pre", "denoising", N))
    rows = effects_of(grid, (0, 0), subject.texts[:N])
    assert {r[0] for r in rows} == set(subject.texts[:N])
    assert [r[1] for r in rows] == sorted((r[1] for r in rows), reverse=True)


def test_the_strongest_cell_is_found_and_nan_is_none(subject):
    grid = grid_of(patching(subject, "resid_pre", "denoising", N))
    values = grid.base.expand_as(grid.values).clone()
    values[1, 2] -= 5
    values[0, 0] = torch.nan
    assert strongest(replace(grid, values=values)) == (1, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("resid_mid", "noising", 4), "resid_pre, attn_out"),
        (("z", "sideways", 4), "denoising or noising"),
        (("z", "noising", 99), "2 to 24 prompts"),
    ],
)
def test_what_is_not_offered_is_refused(subject, given, said):
    with pytest.raises(UserError, match=said):
        list(patching(subject, *given))
    with pytest.raises(UserError, match="--trigger"):
        list(patching(replace(subject, control=""), "z", "noising", 4))
