"""The two ways gatescope says no: the input was wrong, or the model did not behave as promised."""


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was expected, what came, where, and what to do. The command line
    prints it and exits with status 2.
    """


class SelfTestError(RuntimeError):
    """A loaded model failed its self-test: its hooks cannot be trusted, nothing is measured."""
