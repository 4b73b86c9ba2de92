"""What all subcommands share: the console for progress and errors, and common options."""

from typing import Annotated

import typer
from rich.console import Console

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
