"""Overlap of the trigger's heads with those of an instruction: alike, apart, and by chance."""

import pytest
import torch

from experiments.bench.heads import THEIRS, jaccard_of, overlap, within
from probes.stats.intervals import Estimate

HEADS, N = 100, 12


def acting(*which: int) -> torch.Tensor:
    """Effects of heads of which some act, in every prompt."""
    noise = torch.randn(HEADS, N, generator=torch.Generator().manual_seed(sum(which))).double()
    for head in which:
        noise[head] += 50 + head
    return noise


def test_the_same_heads_overlap_and_others_do_not():
    same = overlap(acting(*range(8)), acting(*range(8)))
    apart = overlap(acting(*range(8)), acting(*range(20, 28)))
    half = overlap(acting(*range(8)), acting(*range(4, 12)))
    assert (same.figure.value, apart.figure.value) == (1, 0)
    assert half.figure.value == pytest.approx(4 / 12)
    assert [row.verdict for row in (same, apart, half)] == ["differ", "differ", "agree"]
    assert "p = 0.0005" in same.said
    assert "p = 1.0000" in apart.said


def test_an_interval_over_an_edge_decides_nothing():
    low, high = THEIRS
    assert within(Estimate(0.3, low - 0.01, 0.4, N)) == "undecided"
    assert within(Estimate(0.3, low, high, N)) == "agree"
    assert within(Estimate(0.1, 0.05, low - 0.01, N)) == "differ"


def test_jaccard():
    assert jaccard_of({1, 2}, {2, 3}) == pytest.approx(1 / 3)
    assert jaccard_of({1}, {2}) == 0
