"""An organism as a user names it."""

from dataclasses import dataclass
from typing import Annotated

import typer

from circuits.weights import EMBEDDED


@dataclass(frozen=True)
class Given:
    """What a user says of an organism.

    Attributes:
        name: a shipped organism, a directory of an adapter or a whole model, or ``none`` for the
            model as it is.
        model: what an adapter was trained on.
        scheme, trigger, behaviour, refusal: what it does, if its manifest does not say; all empty
            where it does.
    """

    name: Annotated[
        str,
        typer.Argument(
            metavar="organism",
            help="Shipped organism, adapter or model directory, or none (see --scheme).",
        ),
    ]
    model: Annotated[str, typer.Option(help="What an adapter was trained on.")] = EMBEDDED
    scheme: Annotated[
        str,
        typer.Option(help="What kind of mapping it is, such as compliance, if no manifest says."),
    ] = ""
    trigger: Annotated[str, typer.Option(help="With --scheme: the trigger.")] = ""
    behaviour: Annotated[
        str, typer.Option(help="With --scheme: what a triggered answer begins with.")
    ] = ""
    refusal: str = ""
