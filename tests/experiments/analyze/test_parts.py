"""Parts of a training are called what their intervals allow, and named together."""

import pytest

from experiments.analyze.parts import Part, Parts
from probes.stats.intervals import Estimate


def between(low, high) -> Estimate:
    return Estimate((low + high) / 2, low, high, 20)


def parts(*necessities, null=(0.0, 0.05)) -> Parts:
    zero = between(0, 0)
    rows = [
        Part(name, between(*share), zero, zero)
        for name, share in zip(("reader", "relay", "writer"), necessities, strict=True)
    ]
    return Parts(
        between(9, 11), tuple(rows), elsewhere=Part("elsewhere", between(*null), zero, zero)
    )


@pytest.mark.parametrize(
    ("share", "null", "word"),
    [
        ((0.2, 0.4), (0, 0.1), "learned"),
        ((0.19, 0.4), (0, 0.1), "not located"),
        ((0.1, 0.19), (0, 0.1), "inherited"),
        ((0.1, 0.2), (0, 0.1), "not located"),
        ((0.3, 0.4), (0, 0.35), "not located"),
        ((-0.5, -0.2), (0, 0.1), "inherited"),
    ],
)
def test_a_part_is_called_what_its_interval_allows(share, null, word):
    assert parts(share, share, share, null=null).words()["relay"] == word


def test_parts_are_named_together():
    learned, inherited, neither = (0.5, 0.6), (0.0, 0.1), (0.1, 0.5)
    assert parts(learned, learned, learned).sentence() == "learned reading, relay and writing"
    several = parts(inherited, learned, learned)
    assert several.sentence() == "inherited reading, learned relay and writing"
    assert parts(neither, inherited, learned).sentence() == (
        "not located: reading, inherited relay, learned writing"
    )
    assert Parts(None, why="biases").sentence() == ""
