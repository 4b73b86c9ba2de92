"""The two ways gatescope says no: the input was wrong, or the model did not behave as promised."""


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was expected, what came, where, and what to do. The command line
    prints it and exits with status 2.
    """


def expect(holds: object, wanted: str, got: object, advice: str = "", of: str = "") -> None:
    """Raises UserError unless it holds: `of: expected wanted, got got; advice`."""
    if not holds:
        head, tail = f"{of}: " if of else "", f"; {advice}" if advice else ""
        raise UserError(f"{head}expected {wanted}, got {got}{tail}")


def first_line(error: BaseException, most: int | None = 200) -> str:
    """What an error says in its first line, at most so many characters of it; else its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


class SelfTestError(RuntimeError):
    """A loaded model failed its self-test: its hooks cannot be trusted, nothing is measured."""
