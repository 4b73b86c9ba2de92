"""The words refuse to be used wrongly."""

import jaxtyping
import pytest
import torch

from circuits.errors import UserError
from circuits.types import Direction, Edit, PatchGrid, Point, Site, TokenBatch, TokenPairs

SITE = Site(2, "resid_pre", "last")


def tokens(rows, padding=0) -> TokenBatch:
    ids = torch.tensor(rows)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, :padding] = False
    return TokenBatch(ids, mask)


def grid(base, source) -> PatchGrid:
    values = torch.stack([base, source, (base + source) / 2])[None]
    return PatchGrid("denoising", "resid_pre", "m", ("a", "b", "c"), values, base, source)


def test_right_padding_is_refused_and_left_padding_is_not():
    ids, mask = torch.tensor([[5, 6, 0], [5, 6, 7]]), torch.ones(2, 3, dtype=torch.bool)
    mask[0, 2] = False
    with pytest.raises(UserError, match="left padding"):
        TokenBatch(ids, mask)
    assert len(TokenBatch(ids, mask.flip(1))) == 2


def test_ids_and_mask_of_different_shapes_are_refused():
    with pytest.raises(UserError, match=r"ids \(1, 3\) and mask \(1, 2\) differ"):
        TokenBatch(torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool))


def test_pairs_of_different_widths_are_refused():
    with pytest.raises(UserError, match="not aligned"):
        TokenPairs(tokens([[1, 2, 3]]), tokens([[1, 2]]))


def test_pairs_padded_differently_are_refused():
    with pytest.raises(UserError, match="padded differently"):
        TokenPairs(tokens([[1, 2, 3]]), tokens([[1, 2, 3]], padding=1))


def test_the_first_difference_is_the_first_column_at_which_any_pair_differs():
    clean = tokens([[1, 2, 3, 4], [1, 2, 3, 4]])
    pairs = TokenPairs(clean, tokens([[1, 2, 3, 9], [1, 2, 8, 9]]))
    assert pairs.first_difference == 2
    assert pairs.rows([0]).first_difference == 3
    assert TokenPairs(clean, clean).first_difference == 4


@pytest.mark.parametrize("scale", [0.5, 1.01, 0.0, 3.0])
def test_a_direction_without_unit_norm_is_refused(scale):
    unit = torch.eye(4)[1]
    assert Direction(SITE, unit, "given", 1.0, 4.0).gap == 3.0
    with pytest.raises(UserError, match="unit norm"):
        Direction(SITE, unit * scale, "given", 1.0, 4.0)


def test_the_span_column_is_the_spans_last_and_an_absent_span_is_refused():
    ids, mask = torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool)
    some = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]]).bool()
    batch = TokenBatch(ids, mask, {"trigger": some, "half": some & some[:1]})
    assert batch.span_column("trigger").tolist() == [2, 0]
    for name in ("half", "unheard of"):
        with pytest.raises(UserError, match=f"span '{name}'"):
            batch.span_column(name)


def test_chosen_rows_keep_their_texts_and_spans():
    ids, mask = torch.arange(6).reshape(3, 2), torch.ones(3, 2, dtype=torch.bool)
    columns = torch.tensor([[1, 0], [0, 1], [1, 1]]).bool()
    some = TokenBatch(ids, mask, {"s": columns}, ("a", "b", "c")).rows(torch.tensor([2, 0]))
    assert some.ids.tolist() == [[4, 5], [0, 1]]
    assert some.spans["s"].tolist() == [[True, True], [True, False]]
    assert some.texts == ("c", "a")


def test_recovery_is_zero_for_the_base_one_for_the_source_and_a_half_between():
    base, source = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([4.0, 1.0, 7.0])
    torch.testing.assert_close(grid(base, source).recovery(), torch.tensor([[0.0, 1.0, 0.5]]))
    assert grid(base, source).full_effect.tolist() == [4.0, 0.0, 5.0]


def test_recovery_of_nothing_is_refused_even_where_single_examples_differ():
    with pytest.raises(UserError, match="nothing to recover"):
        grid(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).recovery()


def test_an_edit_on_other_columns_is_the_same_edit():
    edit = Edit(Point(1), torch.neg)
    columns = torch.ones(1, 2, dtype=torch.bool)
    assert edit.on(columns).apply is torch.neg
    assert edit.on(columns).point == edit.point
    assert edit.columns is None


def test_the_shape_annotations_are_checked_in_tests():
    """The hook in conftest is alive: a matrix is no direction."""
    with pytest.raises(jaxtyping.TypeCheckError):
        Direction(SITE, torch.eye(4)[:1], "given", 0.0, 1.0)
