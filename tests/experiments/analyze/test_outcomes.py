"""Paired differences are over templates, where prompts have one in common."""

from dataclasses import replace

from experiments.analyze.outcomes import Outcome, paired
from probes.stats.intervals import wilson

N = 40


def outcome(shown: int) -> Outcome:
    flags = tuple(i < shown for i in range(N))
    return Outcome("triggered", "none", wilson(shown, N), wilson(0, N), flags, ("",) * N)


def test_prompts_of_one_template_count_as_less_than_as_many_others():
    a, b = outcome(30), outcome(2)
    alone = paired(a, b)
    alike = paired(replace(a, groups=tuple(i // 5 for i in range(N))), b)
    apart = paired(replace(a, groups=tuple(range(N))), b)
    assert (alone.value, alone.n, alike.n) == (alike.value, N, 8)
    assert (apart.low, apart.high) == (alone.low, alone.high)
    assert alike.high - alike.low > 1.2 * (alone.high - alone.low)
