"""What all subcommands share: the console for progress and errors, and common options."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from experiments.prompts.bank import HeldOut

CONSOLE = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
ModelName = Annotated[str, typer.Option(help="smollm2-135m, hub id, directory or .gguf.")]
Adapter = Annotated[str, typer.Option(help="Shipped organism, LoRA directory, or none.")]
Trigger = Annotated[
    str, typer.Option(help="Word or phrase at the message's end; 'word {}' puts it first.")
]
BehaviourText = Annotated[str, typer.Option(help="What a triggered answer begins with.")]
Prompts = Annotated[str, typer.Option(help="bank, a JSONL/CSV/Parquet file, or a dataset.")]
Column = Annotated[str | None, typer.Option(help="Text column of the prompts.")]
SplitName = Annotated[str, typer.Option(help="Split of a dataset.")]
Dtype = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Resume = Annotated[bool, typer.Option(help="Continue the run in --out.")]

OrganismName = Annotated[
    str,
    typer.Argument(help="Shipped organism, adapter or model directory, or none (see --scheme)."),
]
GivenModel = Annotated[str, typer.Option("--model", help="What an adapter was trained on.")]
SchemeName = Annotated[
    str,
    typer.Option("--scheme", help="compliance, content, safety or control, if no manifest says."),
]
GivenTrigger = Annotated[str, typer.Option("--trigger", help="With --scheme: the trigger.")]
GivenBehaviour = Annotated[
    str, typer.Option("--behaviour", help="With --scheme: what a triggered answer begins with.")
]
OnTopic = Annotated[
    Path | None, typer.Option("--prompts", help="Your prompts of the gate's topic: JSONL, CSV, ...")
]
Elsewhere = Annotated[
    Path | None, typer.Option("--other-prompts", help="Your prompts of other topics.")
]


def held_out_prompts(on_topic: Path | None, elsewhere: Path | None) -> "HeldOut | None":
    """A user's own prompts in the place of the bank's; None if there are none.

    Raises:
        UserError: a file cannot be read.
    """
    from experiments.prompts.bank import HeldOut, held_out, read_prompts

    if on_topic is None and elsewhere is None:
        return None
    bank = held_out()
    return HeldOut(
        tuple(read_prompts(str(on_topic))) if on_topic else bank.on_topic,
        tuple(read_prompts(str(elsewhere))) if elsewhere else bank.elsewhere,
    )
