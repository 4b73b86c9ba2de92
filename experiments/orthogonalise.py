"""``gatescope orthogonalise``: a model without a subspace, saved to load like any other.

The directory is built beside its destination and renamed, so it is absent or complete.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from jaxtyping import Float
from torch import Tensor

from circuits import models
from circuits.edits.orthogonal import orthogonalised
from circuits.errors import writing
from circuits.gates import phrase
from circuits.lora import merge_adapter
from circuits.templates import AS_IT_IS, Rendering
from circuits.weights import directory_sha256
from experiments.organisms.bases import located
from experiments.organisms.places import find_adapter
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from experiments.runs.progress import StageProgress
from experiments.runs.read import analysis, gate_vectors, require_analysed
from experiments.runs.terminal import CONSOLE, say

SUBSPACE = "subspace.safetensors"


def orthogonalise(
    run: Annotated[Path, typer.Argument(help="Run directory of an analysis that chose a gate.")],
    out: Annotated[Path, typer.Option(help="Directory to write; loads as --model.")],
) -> None:
    """Save a copy of a run's model whose weights cannot write the gate's direction."""
    with StageProgress(CONSOLE) as progress:
        progress.step("orthogonalise", 0, 1)
        save_without_gate(run, out)
        progress.step("orthogonalise", 1, 1)
    say(f"saved: {out}")


@dataclass(frozen=True)
class _Analysed:
    """What an analysis says of its model."""

    model: str
    adapter: str
    rendering: Rendering = AS_IT_IS


def save_without_gate(run: Path, out: Path) -> Path:
    """Save the model of an analysis without the direction that it chose, of a phrase all tokens'.

    Args:
        run: a run directory with ``gate.safetensors``.
        out: an empty or new directory.

    Raises:
        UserError: it is no finished analysis, chose no gate, or its model has changed since; or
            as :func:`save_orthogonalised`.
    """
    about, _ = analysis(run)
    basis = phrase.spanned(gate_vectors(run))
    asked = decode(_Analysed, about["question"], where=str(run / "manifest.json"))
    command = shlex.join(["gatescope", "orthogonalise", str(run), "--out", str(out)])

    def same(here: Mapping[str, str | None]) -> None:
        require_analysed(run, about["question"], here)

    adapter = find_adapter(asked.adapter)
    return save_orthogonalised(asked.model, adapter, basis, out, command, same, asked.rendering)


def save_orthogonalised(
    model_name: str,
    adapter: str | Path | None,
    basis: Float[Tensor, "k d_model"],
    out: Path,
    command: str = "",
    check: Callable[[Mapping[str, str | None]], None] = lambda hashes: None,
    rendering: Rendering = AS_IT_IS,
) -> Path:
    """Merge a model's adapter, make it unable to write a subspace, and save it in fp32.

    ``out`` then holds weights (safetensors), configuration, tokenizer, the basis
    (``subspace.safetensors``) and ``manifest.json`` with the hashes of what went in and of the
    directory itself; ``circuits.models.load(str(out))`` loads it.

    Args:
        model_name: as for ``circuits.models.load``.
        adapter: directory of a LoRA adapter, or None.
        basis: orthonormal rows in the model's residual stream.
        out: an empty or new directory.
        command: what the user typed, for the manifest.
        check: is given the hashes of what was loaded, by the manifest's names, and may refuse it.
        rendering: how chats are written, which the copy's own template then says.

    Raises:
        UserError: the directory is not empty, or model, adapter or basis do not fit.
    """
    with files.built(out) as scratch:
        beside = Path(adapter) if adapter is not None else None
        hf_model, tokenizer, sha = models.load_plain(
            located(model_name),
            torch.float32,
            "cpu",
            lambda t: rendering.tokenizer(t, beside, model_name),
        )
        adapter_sha = None
        if adapter is not None:
            hf_model, adapter_sha = merge_adapter(hf_model, Path(adapter), model_name, sha)
        hashes = {"model_sha256": sha, "adapter_sha256": adapter_sha}
        check(hashes)
        new = orthogonalised(hf_model, basis)
        stored = {"basis": basis.float()}
        manifest = files.Manifest(
            kind="orthogonalised model",
            question={
                "model": model_name,
                "adapter": str(adapter) if adapter is not None else None,
                "rank": len(basis),
                **hashes,
            },
            command=command,
        )
        with writing(out):
            new.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
        files.write_tensors(scratch / SUBSPACE, stored, {"space": "residual stream"})
        # The hash covers the basis too and leaves the manifest out; it is the one load computes.
        about = {**as_json(manifest), "sha256": directory_sha256(scratch)}
        files.write_json(scratch / "manifest.json", about)
    return out
