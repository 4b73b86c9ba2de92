"""The analysis of a poison-budget sweep: thresholds, what they are compared with, the page."""

from experiments.budget.analysis import analyse
from experiments.budget.records import Budget

__all__ = ["Budget", "analyse"]
