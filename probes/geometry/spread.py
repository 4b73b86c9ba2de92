"""Intervals of statistics that a bootstrap with replacement would spoil.

A resample with replacement holds examples twice, at distance 0 of themselves. What is made of
distances or inner products between examples (participation ratio, MMD, Vendi score, nearest
neighbours) is biased by that. So their intervals come from leaving examples out (the jackknife,
which is exact to first order for functions of U-statistics: Arvesen 1969), from derivatives in the
examples' weights (the infinitesimal jackknife, Jaeckel 1972), or from subsamples without
replacement (Politis & Romano 1994); the ends are Student's t, and on the logarithm for ratios. A
``Statistic`` makes them of triggered activations, and of their ratio to clean ones, by prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import t
from torch import Tensor

from circuits.errors import expect
from probes.geometry.kernels import check_paired, examples
from probes.stats.checks import generator
from probes.stats.intervals import Estimate, estimates

Estimates = tuple[Estimate, ...]  # one per site


def jackknife_error(left_out: Float[Tensor, "sites n"]) -> Float[Tensor, "sites"]:
    """Standard error from the n values of a statistic without one example each (Tukey 1958)."""
    n = left_out.shape[-1]
    return (left_out.var(-1, unbiased=False) * (n - 1)).sqrt()


def halves(n: int, draws: int, seed: int) -> list[Int[Tensor, "half"]]:
    """Random halves of n examples, drawn without replacement.

    The spread of a statistic over halves about their mean is that of the whole set's value (the
    delete-half jackknife, Shao & Wu 1989).

    Raises:
        UserError: fewer than two draws.
    """
    expect(draws >= 2, "at least 2", draws, "pass about 50", "halves")
    source = generator(seed)
    return [torch.randperm(n, generator=source)[: n // 2] for _ in range(draws)]


def around_log(
    value: Float[Tensor, "sites"],
    log_error: Float[Tensor, "sites"],
    n: int,
    method: str,
    level: float = 0.95,
) -> Estimates:
    """value times or over exp(t * error of its logarithm), for values above 0."""
    factor = (student(n, level) * log_error).exp()
    return estimates(value, value / factor, value * factor, n, f"{method}, log scale", level)


def student(n: int, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t with n - 1 degrees of freedom."""
    return float(t.ppf((1 + level) / 2, n - 1))


# A value, and parts that spread about its logarithm: what each example adds to it, or the logarithm
# without each example, or in each of several subsets.
Reading = tuple[Float[Tensor, "sites"], Float[Tensor, "sites parts"]]


@dataclass(frozen=True)
class Statistic:
    """A number above 0 for every site, with intervals on the log scale.

    Attributes:
        read: the number and its parts.
        error: standard error of the logarithm, from the parts.
        method: how, in words.
        at_least: examples.
    """

    read: Callable[[Float[Tensor, "sites n d"]], Reading]
    error: Callable[[Float[Tensor, "sites parts"]], Float[Tensor, "sites"]]
    method: str
    at_least: int = 6

    def compare(
        self, triggered: Float[Tensor, "sites n d"], clean: Float[Tensor, "sites n d"]
    ) -> tuple[Estimates, Estimates]:
        """Of the triggered set, and that over the clean set's.

        In a ratio, what the two examples of a pair contribute is subtracted, on the log scale.

        Raises:
            UserError: sets that are not paired, too few examples, or what ``read`` refuses.
        """
        check_paired(triggered, clean)
        top, top_parts = self.read(examples(triggered, "triggered", self.at_least))
        bottom, bottom_parts = self.read(examples(clean, "clean", self.at_least))
        n, paired = triggered.shape[1], self.error(top_parts - bottom_parts)
        own = around_log(top, self.error(top_parts), n, self.method)
        return own, around_log(top / bottom, paired, n, f"{self.method} of pairs")
