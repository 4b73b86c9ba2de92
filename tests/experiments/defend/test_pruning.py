"""Parts are cut off where they are, and those that carry a known trigger are found by patching."""

import pytest
import torch

from experiments.defend import pruning
from experiments.defend.pruning import Cut, cut, cutting


def test_heads_and_neurons_are_masked_in_their_layer_and_nowhere_else(small):
    edits = cutting(small.model, "z", [(1, 2), (0, 0), (1, 3)])
    assert [str(edit.point) for edit in edits] == ["z[0]", "z[1]"]
    ones = torch.ones(1, 1, 4, 8)  # heads and their channels
    assert edits[0].apply(ones).flatten().tolist() == [0.0] * 8 + [1.0] * 24
    assert edits[1].apply(ones).flatten().tolist() == [1.0] * 16 + [0.0] * 16
    (neurons,) = cutting(small.model, "neuron", [(1, 5)])
    kept = neurons.apply(torch.ones(1, 1, 48, 1)).flatten()
    assert kept.shape == (48,)
    assert (kept == 0).nonzero().flatten().tolist() == [5]


def stubbed(monkeypatch, order, left):
    monkeypatch.setattr(pruning, "_carrying", lambda bench, stream: (order, 8))

    def cost(bench, stream, parts, before):
        return left[len(parts)], 0.1 * len(parts)

    monkeypatch.setattr(pruning, "_cost", cost)


def test_as_few_parts_are_cut_as_shut_the_behaviour(monkeypatch, small):
    order = [(1, h) for h in range(6)]
    stubbed(monkeypatch, order, {1: 0.9, 2: 0.04, 4: 0.01, 6: 0.0})
    assert cut(small, "z") == Cut("z", ((1, 0), (1, 1)), 6, 8)


def test_where_nothing_shuts_it_the_least_of_behaviour_and_harm_is_taken(monkeypatch, small):
    order = [(0, h) for h in range(6)]
    stubbed(monkeypatch, order, {1: 0.9, 2: 0.5, 4: 0.2, 6: 0.19})
    assert len(cut(small, "z").parts) == 4


def test_where_no_part_carries_anything_none_is_cut(monkeypatch, small):
    stubbed(monkeypatch, [], {})
    assert cut(small, "z") == Cut("z", (), 0, 8)


@pytest.mark.parametrize("stream", ["z", "neuron"])
def test_parts_are_ordered_by_falling_effects_that_stand_out(small, stream):
    every = [(0, i) for i in range(4)]

    class Stats:
        mean = torch.tensor([0.1, 2.0, -3.0, 0.5])
        q = torch.tensor([0.01, 0.01, 0.01, 0.2])

    assert pruning._ordered(every, Stats) == [(0, 1), (0, 0)]
    assert cutting(small.model, stream, []) == ()
