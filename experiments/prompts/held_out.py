"""A user's own prompts in the place of the bank's held-out ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from experiments.checks import checked
from experiments.prompts.bank import HeldOut, held_out, read_prompts


@dataclass(frozen=True)
class OwnPrompts:
    """Files of prompts, as ``read_prompts`` reads them; the bank's own where there is none."""

    on_topic: Annotated[
        Path | None,
        typer.Option("--prompts", help="Your prompts of the gate's topic: JSONL, CSV, ..."),
    ] = None
    elsewhere: Annotated[
        Path | None, typer.Option("--other-prompts", help="Your prompts of other topics.")
    ] = None

    def __post_init__(self) -> None:
        checked(self)

    def read(self, check: Callable[[Sequence[str], str], None]) -> HeldOut | None:
        """The prompts; None if no file is given.

        Args:
            check: refuses prompts of a file that cannot be asked, given what they are called.

        Raises:
            UserError: a file cannot be read, or its prompts cannot be asked.
        """
        if self == OwnPrompts():
            return None
        bank = held_out()
        return HeldOut(
            _texts(self.on_topic, check) or bank.on_topic,
            _texts(self.elsewhere, check) or bank.elsewhere,
        )


def _texts(file: Path | None, check: Callable[[Sequence[str], str], None]) -> tuple[str, ...]:
    if file is None:
        return ()
    texts = read_prompts(str(file))
    check(texts, f"prompts {file}")
    return tuple(texts)
