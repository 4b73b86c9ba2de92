"""A statistic of triggered activations over the same of clean ones, paired by prompt."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from probes.geometry.kernels import check_paired, examples
from probes.geometry.spread import Estimates, around_log

# A value, and what each example adds to its logarithm (or the logarithm without each example).
Reading = tuple[Float[Tensor, "sites"], Float[Tensor, "sites n"]]


def relative(
    triggered: Float[Tensor, "sites n d"],
    clean: Float[Tensor, "sites n d"],
    read: Callable[[Float[Tensor, "sites n d"]], Reading],
    error: Callable[[Float[Tensor, "sites n"]], Float[Tensor, "sites"]],
    method: str,
) -> Estimates:
    """Ratio of two readings; what the examples of a pair contribute is subtracted on the log."""
    check_paired(triggered, clean)
    top, top_parts = read(examples(triggered, "triggered", at_least=6))
    bottom, bottom_parts = read(examples(clean, "clean", at_least=6))
    return around_log(top / bottom, error(top_parts - bottom_parts), triggered.shape[1], method)
