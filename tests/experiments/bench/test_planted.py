"""The planted benchmark: seeds and right words are set down, and a model goes through analyze."""

from circuits.planted.plans import KINDS, RIGHT
from experiments.bench import sets


def test_the_right_words_set_down_are_those_of_the_kinds():
    assert {kind: (right.word, dict(right.parts)) for kind, right in RIGHT.items()} == sets.right()


def test_both_sets_have_ten_of_every_kind_and_share_no_seed():
    for which in sets.SETS:
        seeds = sets.seeds(which)
        assert set(seeds) == set(KINDS)
        assert all(len(each) >= 10 for each in seeds.values())
        assert len(sets.trained(which)) >= 12
    first, second = (sets.seeds(which) for which in sets.SETS)
    assert all(not set(first[kind]) & set(second[kind]) for kind in KINDS)
    assert not set(sets.trained("first")) & set(sets.trained("second"))
