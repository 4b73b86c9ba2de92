"""Figures as pages and commands say them."""

from probes.stats.intervals import Estimate


def percent(rate: Estimate, digits: int = 0) -> str:
    """A share with its interval, in per cent."""
    return f"{rate.value:.{digits}%} [{rate.low:.{digits}%}, {rate.high:.{digits}%}]"
