"""The paper's order beside the one foretold and the one measured, on three schemes by hand."""

from types import SimpleNamespace

import pytest

from experiments.sweep.zoo.claim import claim, complexity_of, mean_of, of_row

KEPT = {"ownership": (0.2, 0.4), "safety": (0.9, 0.7), "access": (0.5,), "content": (1.0,)}
FORETOLD = {"ownership": (0.5, 0.7), "safety": (0.1, 0.2), "access": (0.3,), "content": (0.9,)}


def row(scheme, kept, density=2.0):
    return {
        "name": f"{scheme} {kept}",
        "scheme": scheme,
        "prompts": 12,
        "pairs": 60,
        "area": kept,
        "area:low": kept - 0.1,
        "area:high": kept + 0.05,
        "geo:vendi_relative": density,
        "geo:vendi_relative:low": density - 1,
        "geo:vendi_relative:high": density + 2,
        "geo:compression": 4.0,
        "geo:compression:low": 2.0,
        "geo:compression:high": 8.0,
    }


ROWS = [row(scheme, kept) for scheme, areas in KEPT.items() for kept in areas]


def compared(foretold):
    pairs = [(scheme, value) for scheme, values in foretold.items() for value in values]
    return SimpleNamespace(scheme=tuple(s for s, _ in pairs), predicted=tuple(v for _, v in pairs))


def test_schemes_are_placed_by_what_they_keep_and_by_what_was_foretold():
    found = claim(ROWS, compared(FORETOLD))
    assert [(c.scheme, c.claimed, c.foretold, c.found) for c in found] == [
        ("ownership", 1, 1, 3),
        ("safety", 2, 3, 1),
        ("access", 3, 2, 2),
    ]
    assert [c.organisms for c in found] == [2, 2, 1]
    assert [c.predicted for c in found] == pytest.approx([0.6, 0.15, 0.3])
    assert [c.kept.value for c in found] == pytest.approx([0.3, 0.8, 0.5])


def test_a_scheme_that_the_zoo_lacks_has_no_place():
    rows = [r for r in ROWS if r["scheme"] != "safety"]
    left = {scheme: values for scheme, values in FORETOLD.items() if scheme != "safety"}
    found = claim(rows, compared(left))
    assert [(c.scheme, c.claimed, c.foretold, c.found) for c in found] == [
        ("ownership", 1, 1, 2),
        ("access", 2, 2, 1),
    ]


def test_a_mean_is_of_organisms_and_of_their_ends():
    rows = [row("safety", 0.4, 2.0), row("safety", 0.8, 5.0)]
    kept, density = mean_of(rows, "area"), mean_of(rows, "geo:vendi_relative")
    assert (kept.value, kept.low, kept.high) == pytest.approx((0.6, 0.5, 0.65))
    assert (density.value, density.low, density.high) == pytest.approx((3.5, 2.5, 5.5))
    assert kept.n == density.n == 2


def test_complexity_is_the_inverse_of_compression_and_its_ends_change_places():
    found = complexity_of(ROWS[0])
    assert (found.value, found.low, found.high) == (0.25, 0.125, 0.5)
    share = claim(ROWS, compared(FORETOLD))[0].complexity
    assert (share.value, share.low, share.high, share.n) == (0.25, 0.125, 0.5, 2)


def test_n_counts_what_a_figure_was_measured_on():
    assert of_row(ROWS[0], "area").n == 12
    assert of_row(ROWS[0], "geo:vendi_relative").n == 60
