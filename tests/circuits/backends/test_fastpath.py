"""The fast path is taken where it equals plain passes, and only there."""

from dataclasses import replace

import pytest
import tiny
import torch

from circuits.backends.fastpath import check, difference, fast_path
from circuits.backends.transformer_lens import TLRunner
from circuits.errors import UserError
from circuits.metrics import Generated, logit_difference
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.runner import Output

METRIC = logit_difference(40, 90)


class Changed:
    """A runner that treats windows of some kind in a way of its own."""

    def __init__(self, runner, kind: str, refuses: bool = False):
        self.runner, self.kind, self.refuses, self.shape = runner, kind, refuses, runner.shape
        self.hf_model = runner.hf_model

    def forward(self, window, edits=(), record=(), keep=1, grow=False) -> Output:
        concerned = {
            "past": window.past is not None,
            "resid": window.resid is not None,
            "joining": bool(window.joining),
        }[self.kind]
        if concerned and self.refuses:
            raise UserError(f"window: this back-end has no {self.kind}")
        out = self.runner.forward(window, edits, record, keep, grow)
        return replace(out, logits=1.5 * out.logits) if concerned else out


@pytest.fixture
def plain_grid(runner, aligned):
    return patch(runner, aligned, METRIC)


def test_it_holds_on_every_architecture(any_runner):
    found = check(any_runner)
    assert found.holds
    assert found.difference < 1e-3
    assert "within" in str(found)


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("kind", ["past", "resid", "joining"])
def test_where_it_does_not_hold_the_plain_path_gives_the_same_grid(
    runner, aligned, plain_grid, kind, refuses
):
    broken = Changed(runner, kind, refuses)
    assert not fast_path(broken).holds
    assert "fast path not taken" in str(fast_path(broken))
    grid = patch(broken, aligned, METRIC)
    assert (grid.path, plain_grid.path) == ("plain", "shared")
    assert torch.allclose(grid.values, plain_grid.values, atol=5e-4)


def test_the_plain_path_needs_only_whole_windows_edits_and_recording(runner, aligned):
    class Whole(Changed):
        def forward(self, window, edits=(), record=(), keep=1, grow=False) -> Output:
            if window.past is not None or window.resid is not None or window.joining or grow:
                raise UserError("window: only whole ones")
            return self.runner.forward(window, edits, record, keep)

    for sweep in (Sweep("z", head=True), Sweep("resid_mid"), Sweep("mlp_out", position=False)):
        expected = patch(runner, aligned, METRIC, sweep)
        found = patch(Whole(runner, "past"), aligned, METRIC, sweep)
        assert torch.allclose(found.values, expected.values, atol=5e-4)
        assert float(expected.effects.abs().max()) > 0.01


def test_the_check_runs_once_per_runner(tokenizer):
    made = TLRunner(tiny.llama(len(tokenizer)), tokenizer, "llama")
    assert fast_path(made) is fast_path(made)
    assert fast_path(made) is not fast_path(Changed(made, "past"))


def test_generated_behaviour_is_the_same_on_both_paths(runner, aligned):
    judge = Generated(lambda ids: (ids % 2).float().mean(dim=1), length=3)
    found = patch(Changed(runner, "joining"), aligned, judge)
    assert torch.equal(found.values, patch(runner, aligned, judge).values)


def test_a_difference_is_in_log_probability_so_a_shift_is_none():
    a = torch.randn(3, 1, 9)
    assert difference(a, a + 5) < 1e-5
    assert difference(a, a * 2) > 0.1
    assert difference(a, a * float("nan")) == float("inf")
