"""A finished run as another command reads it: its manifest, its result, the gate that it chose."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError, expect, quoted, reading
from circuits.types import Direction
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger

ANALYSIS = "gatescope.analysis/2"
_ANALYSES = ("gatescope.analysis/1", ANALYSIS)  # whose questions and gates are read alike
_FIELDS: dict[str, type] = {"kind": str, "question": dict, "command": str, "versions": dict}


def manifest(folder: Path, kind: str = "") -> dict[str, Any]:
    """What a run was made from.

    Args:
        kind: of the run that is wanted; "" for any.

    Raises:
        UserError: no run directory, or the manifest is damaged or of another kind.
    """
    path, wanted = folder / "manifest.json", f"a run directory{kind and f' of kind {kind}'}"
    if not path.is_file():
        raise UserError(f"{folder}: expected {wanted}, got {_instead(folder)}; name the directory")
    value = files.read_object(path)
    schema, of = value.get("schema"), str(path)
    expect(schema == files.SCHEMA, f"a manifest ({files.SCHEMA})", _named(schema), of=of)
    for name, type_ in _FIELDS.items():
        there = quoted(value[name]) if name in value else "none"
        wanted_type = f"{name} to be of type {type_.__name__}"
        expect(isinstance(value.get(name), type_), wanted_type, there, "make the run again", of)
    expect(value["kind"] == kind or not kind, wanted, quoted(value["kind"]), of=str(folder))
    return value


def _instead(folder: Path) -> str:
    """What is there, where there is no run."""
    if folder.is_dir():
        return "one without manifest.json"
    return "a file" if folder.is_file() else "nothing of that name"


def result(folder: Path, schema: str, command: str, *others: str) -> dict[str, Any]:
    """A finished run's ``result.json``, as it was written.

    Args:
        schema, others: that its result may have.

    Raises:
        UserError: it is not there, not as it was written, or of another schema.
    """
    path, ledger = folder / "result.json", Ledger(folder)
    if not ledger.lists(path.name):
        raise unfinished(folder, command)
    value = ledger.json(path.name)
    got = value.get("schema") if isinstance(value, dict) else None
    renew = "make the run again with this version"
    expect(got in (schema, *others), f"schema {schema}", _named(got), renew, str(path))
    return value


def _named(schema: Any) -> str:
    return schema if isinstance(schema, str) and len(schema) < 80 else quoted(schema)


def unfinished(folder: Path, command: str) -> UserError:
    """What is said of a run that has no result yet."""
    return UserError(
        f"{folder}: expected a finished run, got one without a result; finish it: gatescope "
        f"{command} with the same options and --resume"
    )


def analysis(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(manifest, result) of a finished analysis.

    Raises:
        UserError: it is another kind of run, not finished, or damaged.
    """
    about = manifest(run, "analysis")
    value, of = result(run, ANALYSIS, "analyze", *_ANALYSES), str(run / "result.json")
    for name, type_ in {"question": dict, "verdict": str, "headline": str}.items():
        got = quoted(value.get(name))
        expect(isinstance(value.get(name), type_), name, got, "make the run again", of)
    return about, value


def require_analysed(
    run: Path, question: Mapping[str, Any], here: Mapping[str, str | None]
) -> None:
    """Refuse other weights than a run was made with.

    Args:
        question: of the run's manifest.
        here: hashes of what was loaded, by the manifest's names.

    Raises:
        UserError: they differ.
    """
    for what, sha256 in here.items():
        wanted = f"the weights that were analysed ({what} {str(question.get(what))[:12]})"
        same = question.get(what) == sha256
        expect(same, wanted, str(sha256)[:12], "analyse these again", str(run))


def organism_of(manifest: dict[str, Any]) -> str:
    """The name of the organism that a run was given.

    Raises:
        UserError: its question does not say it.
    """
    with reading("manifest.json", "a question with given.name", "make the run again"):
        return Path(manifest["question"]["given"]["name"]).name


def gate_of(run: Path, result: Mapping[str, Any]) -> Direction | None:
    """The direction that an analysis chose, as it was kept, in fp32; None where it chose none.

    Args:
        result: of the run, as ``analysis`` gives it.

    Raises:
        UserError: a file is damaged.
    """
    row, where = result.get("gate"), f"{run / 'result.json'}, gate"
    if not row:
        return None
    expect(isinstance(row, dict), "an object", quoted(row), "make the run again", where)
    *earlier, last = gate_vectors(run)
    steps = row.get("earlier", [])
    got = f"{len(steps) if isinstance(steps, list) else quoted(steps)} and {len(earlier)} vectors"
    whole = isinstance(steps, list) and len(steps) == len(earlier)
    expect(whole, "as many earlier tokens as vectors of them", got, "analyse again", where)
    vectors = {f"earlier.{i}.vector": vector for i, vector in enumerate(earlier)}
    return decode(Direction, {**row, "site": row}, {"vector": last, **vectors}, where)


def require_place(
    gate: Direction, layers: int, width: int, spans: Collection[str], of: str
) -> None:
    """Refuse a gate that is at no place of a model's.

    Raises:
        UserError: it is in a layer, a stream or a span that there is not, or of another width.
    """
    site, size = gate.site, tuple(gate.vector.shape)
    there = 0 <= site.layer < layers and site.stream == "resid_pre" and site.span in spans
    place = f"a gate in resid_pre[0] to [{layers - 1}] at one of {', '.join(spans)}"
    wanted, got = f"{place}, in a stream of width {width}", f"{quoted(str(site))}, {size}"
    expect(there and size == (width,), wanted, got, "give this model's analysis", of)


def gate_vectors(run: Path) -> Float[Tensor, "tokens d_model"]:
    """The direction that an analysis chose, as it was kept, in fp32: of a phrase every token's.

    Raises:
        UserError: there is none, it is not as it was written, or it is no direction.
    """
    path, ledger = run / "gate.safetensors", Ledger(run)
    if not ledger.lists(path.name):
        raise UserError(f"run {run}: expected an analysis that chose a gate, got no {path.name}")
    kept = ledger.tensors(path.name, ["direction"])
    last, earlier = kept["direction"], kept.get("earlier")
    rows = [last] if earlier is None else [*torch.atleast_2d(earlier), last]
    for row in rows:
        size = float(row.float().norm())
        got = f"one {tuple(row.shape)} of {row.dtype} and length {size:g}"
        whole = row.ndim == 1 and row.is_floating_point() and 0 < size < float("inf")
        expect(whole, "a direction, finite and not 0", got, "analyse again", str(path))
        alike, width = row.shape == last.shape, f"a direction of width {len(last)}"
        expect(alike, width, f"one of {len(row)}", "analyse again", str(path))
    return torch.stack(rows).float()
