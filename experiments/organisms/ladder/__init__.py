"""A ladder of small chat models, made here from scratch."""

from experiments.organisms.ladder.rungs import (
    RUNGS,
    Rung,
    Schooling,
    folder,
    parse,
    schooling,
)

__all__ = ["RUNGS", "Rung", "Schooling", "folder", "parse", "schooling"]
