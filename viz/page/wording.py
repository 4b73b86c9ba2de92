"""Numbers as pages and commands say them, where an `Estimate`'s own format does not say enough."""

from probes.stats.intervals import Estimate

NONE = "not measured"


def number(e: Estimate | None, none: str = "") -> str:
    """Three digits with the interval; one that is counted stands alone; `none` for none."""
    if e is None:
        return none
    return f"{e.value:.3g}" if e.low == e.value == e.high else f"{e:.3g}"
