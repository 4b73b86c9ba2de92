"""Cells say what is wrong with them, and records are read back as they were."""

import pytest
from budgets import planted

from circuits.errors import UserError
from probes.budget.cells import Cells, ThresholdFit
from probes.budget.constant_count import ThresholdRatio, compare_thresholds
from probes.budget.threshold import fit_threshold


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(UserError, match="one length"):
        Cells.of([0, 5], [0], [4, 4], [0, 0])


def test_more_hits_than_answers_are_told_with_their_row():
    with pytest.raises(UserError, match="in row 1"):
        Cells.of([0, 5], [0, 5], [4, 4], [0, 0])


def test_records_read_back_from_json():
    cells = planted(30)
    fit = fit_threshold(cells)
    assert ThresholdFit.from_json(fit.to_json()) == fit
    ratio = compare_thresholds(cells, planted(60, draw=5), 4)
    assert ThresholdRatio.from_json(ratio.to_json()) == ratio
