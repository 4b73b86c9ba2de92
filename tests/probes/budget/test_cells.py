"""Cells say what is wrong with them, and records are read back as they were."""

import pytest

from circuits.errors import UserError
from probes.budget.cells import Cells


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(UserError, match="one length"):
        Cells.of([0, 5], [0], [4, 4], [0, 0])


def test_more_hits_than_answers_are_told_with_their_row():
    with pytest.raises(UserError, match="in row 1"):
        Cells.of([0, 5], [0, 5], [4, 4], [0, 0])
