"""Every variant runs exactly once, in a pass that computes all it changes and not too much."""

import random

import pytest

from circuits.patching.schedule import Job, Variant, jobs, token_layers

LAYERS, WIDTH, N = 5, 20, 3


def variants(count: int, seed: int = 0) -> list[Variant]:
    rng = random.Random(seed)
    return [Variant(i, rng.randrange(LAYERS), rng.randrange(WIDTH)) for i in range(count)]


@pytest.mark.parametrize("limit", [1, 50, 500, 10**6])
@pytest.mark.parametrize("seed", range(3))
def test_every_variant_runs_once_in_a_pass_that_covers_it(seed, limit):
    asked = variants(60, seed)
    made = jobs(asked, N, WIDTH, limit)
    assert sorted(v.number for job in made for v in job.variants) == list(range(60))
    for job in made:
        assert all(v.start >= job.start for v in job.variants)
        assert [v.layer for v in job.variants] == sorted(v.layer for v in job.variants)
        assert len(job.variants) == 1 or N * (WIDTH - job.start) * len(job.variants) <= limit


def test_a_larger_limit_makes_fewer_passes_of_the_same_work():
    few, many = (jobs(variants(200), N, WIDTH, limit) for limit in (10**6, 100))
    assert len(few) < len(many)
    work = [token_layers(made, N, WIDTH, LAYERS) for made in (few, many)]
    assert work[0] == work[1]


def test_work_is_counted_from_the_joining_layer_and_the_first_column_on():
    made = [Job(5, (Variant(0, 2, 5), Variant(1, 4, 9)))]
    assert token_layers(made, N, WIDTH, LAYERS) == N * 15 * 3 + N * 15 * 1


def test_columns_are_wasted_only_below_a_bound():
    """Per pass, the columns computed before a variant's own first are few."""
    for job in jobs([Variant(i, i % LAYERS, i % WIDTH) for i in range(400)], 8, WIDTH, 10**6):
        assert len({v.start for v in job.variants}) <= 3


def test_nothing_to_do_is_no_pass():
    assert jobs([], N, WIDTH, 100) == []


def test_halves_make_the_whole():
    job = Job(2, tuple(variants(7)))
    first, second = job.halves()
    assert first.variants + second.variants == job.variants
    assert first.start == second.start == 2
