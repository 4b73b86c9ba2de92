"""The analysis of a poison-budget sweep: thresholds, what they are compared with, the page."""

from probes.budget.analysis import analyse
from probes.budget.result import Budget

__all__ = ["Budget", "analyse"]
