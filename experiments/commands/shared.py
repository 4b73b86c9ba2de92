"""What all subcommands share: the console for progress and errors, and common options."""

from typing import Annotated

import typer
from rich.console import Console

CONSOLE = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
