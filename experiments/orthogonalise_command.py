"""``gatescope orthogonalise``: save the analysed model with weights that cannot write its gate."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.options import CONSOLE
from experiments.runs.progress import StageProgress


def orthogonalise(
    run: Annotated[Path, typer.Argument(help="Run directory of an analysis that chose a gate.")],
    out: Annotated[Path, typer.Option(help="Directory to write; loads as --model.")],
) -> None:
    """Save a copy of a run's model whose weights cannot write the gate's direction.

    Unlike an edit it acts at every layer and token, so measure its harm: analyse the copy.
    """
    from experiments.orthogonalise import save_without_gate

    with StageProgress(CONSOLE) as progress:
        progress.step("orthogonalise", 0, 1)
        save_without_gate(run, out)
        progress.step("orthogonalise", 1, 1)
    print(f"saved: {out}")
