"""The analysis of a poison-budget sweep: thresholds, what they are compared with, the page."""
