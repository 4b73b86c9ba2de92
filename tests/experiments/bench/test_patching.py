"""The benchmark compares what it says it compares."""

import pandas as pd
import pytest
import torch

from experiments.bench.patching import GRIDS, _ours_at
from experiments.bench.scaling import exponent


def test_our_values_are_read_at_the_peers_cells():
    values = torch.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2).float()  # layer, head, position, n
    base = torch.tensor([-1.0, -2.0])
    index = pd.DataFrame({"layer": [1, 0], "pos": [5, 1], "head": [2, 0]})
    found = _ours_at(values, base, GRIDS["head-position"], index, first=3)
    assert found[0].tolist() == values[1, 2, 2].tolist()
    assert found[1].tolist() == base.tolist()  # before the first difference there is no effect


def test_the_exponent_of_a_power_law_is_found():
    sizes = [10.0, 20.0, 40.0]
    assert exponent(sizes, [3 * s**1.5 for s in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7.0, 7.0, 7.0]) == pytest.approx(0.0)
