"""What a scan is asked."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from circuits.errors import UserError
from circuits.weights import EMBEDDED
from experiments.organisms.organism import Given
from experiments.scan.plan import Plan

BASE = "base"
_AT_HAND: Any = None  # not given: the clean models that are at hand for the suspect
_SUSPECT = {
    "name": typer.Argument(
        metavar="organism", help="Shipped organism, adapter or model directory, or none."
    ),
    "model": typer.Option(help="What an adapter was trained on."),
}


@dataclass(frozen=True)
class ScanQuestion:
    """What a scan is asked.

    Attributes:
        given: the suspect; nothing but its name and its base is used.
        clean: models without a trigger that are scanned alike; ``base`` is the base itself,
            ``none`` no such model. By default those at hand.
    """

    given: Annotated[Given, _SUSPECT]
    plan: Plan = field(default_factory=Plan)
    clean: Annotated[
        tuple[str, ...],
        typer.Option(
            help="Clean model for the false-positive rate: base, or an organism; none "
            "for no such model. By default base, clean and decoy."
        ),
    ] = _AT_HAND

    def __post_init__(self) -> None:
        named = default_clean(self.given) if self.clean is None else self.clean
        object.__setattr__(self, "clean", tuple(name for name in named if name != "none"))
        if len(set(self.clean)) < len(self.clean):
            raise UserError(f"--clean: expected different models, got {', '.join(self.clean)}")


def default_clean(given: Given) -> tuple[str, ...]:
    """The clean models that are at hand for a suspect."""
    names = (BASE, "clean", "decoy") if given.model == EMBEDDED else (BASE,)
    return tuple(name for name in names if name != given.name)
