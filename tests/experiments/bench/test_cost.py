"""Peak memory counts what a call held, also what it freed before it returned."""

import pytest
import torch

from experiments.bench.cost import measurable, peak_bytes

pytestmark = pytest.mark.skipif(not measurable(), reason="the peak cannot be reset here")


def held(mebibytes: int) -> None:
    torch.ones(mebibytes * 2**18)


def test_the_peak_is_what_was_held_at_once():
    small, large = (peak_bytes(lambda n=n: held(n)) for n in (50, 200))
    assert 45 < small / 2**20 < 80
    assert 195 < large / 2**20 < 240


def test_what_was_held_before_does_not_count():
    peak_bytes(lambda: held(200))
    assert peak_bytes(lambda: held(20)) / 2**20 < 60
