import pytest

from circuits.errors import UserError, reading, reason


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


def test_the_reason_is_the_cause_at_the_end_of_the_chain():
    wrapped = _raised(RuntimeError("could not load X\nlong story"), _raised(KeyError("vectors")))
    assert reason(wrapped) == "'vectors' (KeyError)"


def test_the_reason_is_found_where_an_error_came_while_another_was_handled():
    handled = _raised(ValueError("no config"))
    handled.__context__ = OSError("disk is full")
    assert reason(handled) == "no config (ValueError)"  # `from None` said to leave it out
    handled.__suppress_context__ = False
    assert reason(handled) == "disk is full (OSError)"


def test_a_line_that_ends_in_a_colon_is_told_with_the_next():
    assert reason(ValueError("Errors in loading:\n\tsize of a\n\tof b")) == (
        "Errors in loading: size of a (ValueError)"
    )
    assert reason(ValueError("Errors:")) == "Errors: (ValueError)"


def test_an_error_without_words_is_its_type():
    assert reason(AssertionError()) == "AssertionError"


def test_whatever_a_reader_raises_becomes_one_line():
    with (
        pytest.raises(UserError, match=r"^run r: expected a run, got 'a' \(KeyError\); make one$"),
        reading("run r", "a run", "make one"),
    ):
        raise KeyError("a")


def test_a_line_that_was_made_for_the_user_goes_through():
    with pytest.raises(UserError, match=r"^mine$"), reading("run r", "a run", "make one"):
        raise UserError("mine")


def test_an_interrupt_is_no_reason():
    with pytest.raises(KeyboardInterrupt), reading("run r", "a run", "make one"):
        raise KeyboardInterrupt


def test_a_message_acts_on_no_terminal_and_has_an_end():
    shown = str(UserError("a\x1b[31m\nb\u202e" + "c" * 10**6 + "; write it again"))
    assert shown.startswith(r"a\x1b[31m\nb\u202ec")
    assert shown.endswith("; write it again")
    assert len(shown) < 2100
    assert str(UserError("prompt 'é': expected 日本")) == "prompt 'é': expected 日本"
