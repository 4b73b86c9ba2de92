"""Statistics of triggered activations, and over the same of clean ones, paired by prompt."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from probes.geometry.kernels import check_paired, examples
from probes.geometry.spread import Estimates, around_log

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
