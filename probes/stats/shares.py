"""Bounds of shares and of their differences, cell by cell in float64; numbers of trials may be
fractions, so that clustered answers can be given by the number of independent ones they are worth.

- Wilson's score interval (1927), with the lower bound of few successes (and the upper of few
  failures) from the Poisson, as Brown, Cai & DasGupta mend it (2001, Statistical Science 16,
  101-133, eq. 11): the plain one covers 84 to 90 % of the rates just above that bound.
- Clopper & Pearson's (1934), which covers at least as often as it says.
- Tango's score interval of a difference of paired shares (1998, Stat. in Medicine 17, 891-908).
"""

from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import betaincinv, gammaincinv
from torch import Tensor

from probes.stats.checks import check_level

FEW = 3  # successes up to which the Poisson's bound counts; the paper has 2 up to n = 50, then 3
_HALVINGS = 44


def wilson_bounds(
    share: Float[Tensor, "*cells"], n: float | Float[Tensor, "*cells"], level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Score interval (low, high) of a share in [0, 1] seen in n trials, right for few as well."""
    check_level(level)
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2).sqrt() / (1 + z2 / n)
    low = torch.minimum(centre - half, _few(share, n, level))
    high = torch.maximum(centre + half, 1 - _few(1 - share, n, level))
    # Rounding alone could put the bound past a share of exactly 0 or 1.
    return torch.minimum(share, low).clamp_min(0), torch.maximum(share, high).clamp_max(1)


def _few(
    share: Float[Tensor, "*cells"], n: float | Float[Tensor, "*cells"], level: float
) -> Float[Tensor, "*cells"]:
    """The Poisson's lower bound of a share of few successes; 1 where they are not few."""
    seen = share * n
    few = (seen <= FEW + 1e-9) & (seen < n - seen)
    bound = gammaincinv(seen.detach().cpu().numpy(), 1 - level)
    rate = torch.as_tensor(np.nan_to_num(bound)).to(share) / n
    return torch.where(few, rate, torch.ones_like(share))


def clopper_pearson_bounds(
    share: Float[Tensor, "*cells"], n: float | Float[Tensor, "*cells"], level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """The interval that covers at least as often as it says, of a share seen in n trials."""
    check_level(level)
    trials = (torch.ones_like(share) * n).cpu().numpy()
    seen, tail = share.cpu().numpy() * trials, (1 - level) / 2
    low = np.where(seen > 0, betaincinv(np.maximum(seen, 1e-9), trials - seen + 1, tail), 0.0)
    missed = trials - seen
    high = np.where(missed > 0, betaincinv(seen + 1, np.maximum(missed, 1e-9), 1 - tail), 1.0)
    return torch.as_tensor(low).to(share), torch.as_tensor(high).to(share)


def tango_bounds(
    gained: Float[Tensor, "*cells"],
    lost: Float[Tensor, "*cells"],
    n: float | Float[Tensor, "*cells"],
    level: float = 0.95,
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Score interval of (gained - lost) / n: what changed for and against among n pairs.

    The ends are the differences at which the score statistic is z, found by halving. Pairs that do
    not change count in n alone; where none does, the ends are -z^2 / (n + z^2) and its negative.
    """
    check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    low = _tango_end(gained, lost, n, z)
    return low, -_tango_end(lost, gained, n, z)


def _tango_end(
    gained: Float[Tensor, "*cells"],
    lost: Float[Tensor, "*cells"],
    n: float | Float[Tensor, "*cells"],
    z: float,
) -> Float[Tensor, "*cells"]:
    """The lower end: where gained - lost - n d is z standard errors of the hypothesis d."""
    low, high = torch.full_like(gained, -1.0), (gained - lost) / n
    for _ in range(_HALVINGS):
        d = (low + high) / 2
        # The share lost that is likeliest under d is the root of a q^2 + b q + c = 0.
        a, b, c = 2 * n, (2 * n - gained + lost) * d - gained - lost, -lost * d * (1 - d)
        q = ((b**2 - 4 * a * c).clamp_min(0).sqrt() - b) / (2 * a)
        spread = (n * (2 * q + d * (1 - d))).clamp_min(0).sqrt()
        beyond = gained - lost - n * d > z * spread
        low, high = torch.where(beyond, d, low), torch.where(beyond, high, d)
    return (low + high) / 2
