"""What each shuffle keeps, and whether p values of refitted shuffles are even where nothing is."""

import pytest
import torch
from samples import normal

from probes.brittleness.figures import RankFigures
from probes.brittleness.learners import Ridge
from probes.brittleness.nested import held_out
from probes.brittleness.shuffles import everywhere, inside, two_level

SCHEMES = torch.arange(6).repeat_interleave(7)
SHUFFLES = (everywhere, two_level, inside)
M, DRAWS, TABLES = 39, 20, 10


def test_shuffles_keep_what_they_say_they_keep():
    part, target = torch.tensor([2, 0, 1, 0, 1, 2, 2, 0, 1]), normal(9)
    free, kept, levels = (
        shuffle(target, part, 40, 0) for shuffle in (everywhere, inside, two_level)
    )
    ordered = target.sort().values.expand(40, -1)
    torch.testing.assert_close(free.sort(1).values, ordered)
    means, own = (
        torch.stack([rows[:, part == p].mean(1) for p in range(3)], 1)
        for rows in (levels, target[None])
    )
    torch.testing.assert_close(means.sort(1).values, own.sort(1).values.expand(40, -1))
    assert len(means[:, 0].round(decimals=9).unique()) == 3
    for p in range(3):
        torch.testing.assert_close(
            kept[:, part == p].sort(1).values, target[part == p].sort().values.expand(40, -1)
        )
    assert len(kept[:, 0].unique()) == 3
    assert len(free[:, 0].unique()) > 6


def simulated(levels: float, noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unrelated features and targets, with levels of schemes: figures, null means and p values.

    Each is [two figures, draws], and p [two figures, three shuffles, draws].
    """
    figures = RankFigures(SCHEMES)
    values, means, p = [], [], []
    for at in range(TABLES):
        level = levels * normal(6, 3 + DRAWS, seed=2 * at)[SCHEMES]
        both = level + noise * normal(42, 3 + DRAWS, seed=2 * at + 1)
        rows = [
            torch.cat([y[None], *(shuffle(y, SCHEMES, M, 9 * i) for shuffle in SHUFFLES)])
            for i, y in enumerate(both[:, 3:].T)
        ]
        targets = torch.cat(rows)
        scores = held_out(Ridge(), both[:, :3], targets.T, SCHEMES).scores
        found = torch.stack([figures.pooled(scores, targets), figures.within(scores, targets)])
        found = found.view(2, DRAWS, 1 + 3 * M)
        own, null = found[..., :1], found[..., 1:].unflatten(-1, (3, M))
        values.append(own[..., 0])
        means.append(null[:, :, 1].mean(-1))
        p.append((1 + (null >= own[..., None]).sum(-1)).transpose(1, 2) / (1 + M))
    return torch.cat(values, 1), torch.cat(means, 1), torch.cat(p, 2)


def test_noise_gives_even_p_values_although_its_pooled_correlation_is_below_zero():
    values, means, p = simulated(levels=0, noise=1)
    pooled, within = values.mean(1).tolist()
    assert pooled < -0.15  # a held-out scheme's mean pulls the others' the other way
    assert abs(within) < 0.06
    assert means.mean(1).tolist() == pytest.approx([pooled, within], abs=0.06)
    for even in (p[0, 0], p[0, 1], p[0, 2], p[1, 2]):
        assert even.double().mean().item() == pytest.approx(0.5, abs=0.1)
        assert (even <= 0.05).double().mean() < 0.11
        assert 0.35 < (even <= 0.5).double().mean() < 0.65


def test_few_schemes_fool_the_free_shuffle_and_not_the_one_that_keeps_their_levels():
    values, _, p = simulated(levels=1, noise=0.1)
    assert values[0].mean() < -0.4
    free, levels = p[0, 0], p[0, 1]
    assert (levels <= 0.025).double().mean() < 0.06
    assert 0.35 < (levels <= 0.5).double().mean() < 0.65
    assert (free <= 0.025).double().mean() > 0.07
    assert (free <= 0.5).double().mean() < 0.35
