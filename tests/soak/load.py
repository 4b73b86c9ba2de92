"""The load matrix: ``python -m tests.soak.load [--share S] [--json FILE]``.

Every architecture on every back-end in fp32 and bf16: which streams act, which are absent and why,
and how far the sums of streams that must agree are apart; and adapters of every kind, with the
difference of the merged model's log-probabilities from the unmerged one's. Prompts differ in
length. Writes docs/results/load-matrix.md; the status is 1 where something does not hold: a model
is tested or refused in one line, never a traceback.
"""

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import adapters_of_kinds as kinds  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402

from circuits import models  # noqa: E402
from circuits.backends.selftest import plain_logits, self_test  # noqa: E402
from circuits.backends.streams import STREAMS  # noqa: E402
from circuits.errors import SelfTestError, UserError  # noqa: E402
from circuits.lora import merge_adapter  # noqa: E402
from tests.soak.architectures import ARCHITECTURES, FAMILY, tokenizer  # noqa: E402
from tests.soak.part import Row, Step, progress, sampled, write  # noqa: E402

PAGE = ROOT / "docs" / "results" / "load-matrix.md"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_EVERY = [*product(ARCHITECTURES, models.BACKENDS, DTYPES)]


def loaded(name: str, backend: str, dtype: str) -> Row:
    """One model in one back-end, self-tested: a row of the matrix."""
    row: Row = {"architecture": name, "tokenizer": FAMILY[name], "backend": backend, "dtype": dtype}
    try:
        tok = tokenizer(FAMILY[name])
        model = ARCHITECTURES[name](len(tok)).to(DTYPES[dtype])
        expected = plain_logits(model, tok)
        runner = models.resolve_backend(backend)(model, tok, name)
        found = self_test(runner, tok, expected)
    except (UserError, SelfTestError) as refused:
        return row | {"refused": str(refused), "holds": "\n" not in str(refused)}
    except Exception as error:
        return row | {"refused": f"{type(error).__name__}: {error}", "holds": False}
    gaps = {"plain": found.plain, "identity": found.identity, "full patch": found.full_patch}
    return row | {
        "acting": [stream for stream in STREAMS if stream not in found.absent],
        "absent": dict(found.absent),
        "gaps": gaps | dict(found.sums),
        "fast_path": str(found.fast_path),
        "holds": max(found.sums.values(), default=0.0) <= found.tolerance,
    }


def adapted() -> list[Row]:
    """Adapters of every kind: how far the merged model is from the unmerged one, or why not."""
    tok, rows = tiny.tokenizer(), []
    with tempfile.TemporaryDirectory() as scratch:
        model = tiny.llama(len(tok), layers=3, attention_bias=True)
        base = tiny.saved(Path(scratch) / "base", model, tok)
        for kind in kinds.KINDS:
            rows.append(_merged(kind, base, Path(scratch) / kind.replace(" ", "-"), tok))
    return rows


def _merged(kind: str, base: Path, place: Path, tok: Any) -> Row:
    row: Row = {"adapter": kind}
    unmerged = kinds.save_adapter(kind, base, place)
    try:
        merged, _ = merge_adapter(kinds.plain(base), place, str(base))
    except UserError as refused:
        return row | {"refused": str(refused), "holds": kind not in kinds.EXACT}
    found, exact, before = (kinds.log_probs(m, tok) for m in (merged, unmerged, kinds.plain(base)))
    gap, effect = float((found - exact).abs().max()), float((found - before).abs().max())
    holds = kind in kinds.EXACT and gap < 1e-3 < effect
    return row | {"gap": gap, "effect": effect, "holds": holds}


def rows(share: float, seed: int, step: Step) -> list[Row]:
    """A share of the matrix, drawn by the seed, and every adapter."""
    logging.disable(logging.WARNING)
    chosen = sampled(_EVERY, share, seed)
    every: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for done, each in enumerate(chosen, 1):
            every.append(loaded(*each))
            step("load matrix", done, len(chosen) + 1)
        every += adapted()
    step("load matrix", len(chosen) + 1, len(chosen) + 1)
    return every


def page(every: Sequence[Row]) -> str:
    """One row per architecture; then what is absent or refused, and why; then adapters."""
    loads = [row for row in every if "architecture" in row]
    head = [f"{backend} {dtype}" for backend, dtype in product(models.BACKENDS, DTYPES)]
    lines = [
        "# Load matrix",
        "",
        "By `python -m tests.soak.load`: tiny random models, prompts of different lengths, padded "
        "on the left. A cell has the streams that act of the eleven there are, and the largest "
        "error in nats: of the sums of streams that must agree (all heads' z = attn_out, q and "
        "k = pattern, pattern and v = z, neurons = mlp_out), then of the back-end's answers "
        "against the Hugging Face model's own.",
        "",
        f"| architecture | tokenizer | {' | '.join(head)} |",
        f"|{'---|' * (2 + len(head))}",
    ]
    for name, group in groupby(loads, lambda row: row["architecture"]):
        cells = {f"{row['backend']} {row['dtype']}": _cell(row) for row in group}
        shown = " | ".join(cells.get(column, "") for column in head)
        lines.append(f"| {name} | {FAMILY[name]} | {shown} |")
    lines += ["", "## Absent streams, refused models", "", "| architecture | back-end | why |"]
    lines += ["|---|---|---|", *_reasons(loads)]
    lines += ["", "## Adapters", "", "Merged against unmerged, largest log-probability difference."]
    lines += ["", "| kind | difference | against the base |", "|---|---|---|"]
    for row in every:
        if "adapter" in row:
            gap = f"{row['gap']:.1g} | {row['effect']:.2g}" if "gap" in row else "refused | "
            lines.append(f"| {row['adapter']} | {gap} |")
    held = sum(row["holds"] for row in every)
    return "\n".join([*lines, "", f"{held} of {len(every)} rows hold.", ""])


def _cell(row: Row) -> str:
    if "refused" in row:
        return "refused" if row["holds"] else "broke"
    sums = [gap for name, gap in row["gaps"].items() if "=" in name]
    largest = f"{max(sums):.1g}" if sums else "no sums"
    return f"{len(row['acting'])}: {largest}, {row['gaps']['plain']:.1g}"


def _reasons(loads: Iterable[Row]) -> list[str]:
    why: dict[tuple[str, str, str], list[str]] = {}
    for row in loads:
        for stream, text in row.get("absent", {}).items():
            why.setdefault((row["architecture"], row["backend"], text), []).append(stream)
        if "refused" in row:
            text = " ".join(row["refused"].split()).replace("|", "/")[:160]
            why.setdefault((row["architecture"], row["backend"], text), []).append(row["dtype"])
    return [
        f"| {name} | {backend} | {', '.join(dict.fromkeys(what))}: {text} |"
        for (name, backend, text), what in why.items()
    ]


def main() -> int:
    """Runs the matrix, writes the page, says what does not hold."""
    asking = argparse.ArgumentParser(prog="python -m tests.soak.load")
    asking.add_argument("--share", type=float, default=1.0, help="of the models")
    asking.add_argument("--seed", type=int, default=0)
    asking.add_argument("--json", type=Path, help="also write the rows here")
    asked = asking.parse_args()
    every = rows(asked.share, asked.seed, progress())
    print(file=sys.stderr)
    if asked.json:
        asked.json.write_text(json.dumps(every, indent=1), encoding="utf-8")
    if asked.share == 1:
        write(PAGE, page(every))
    wrong = [row for row in every if not row["holds"]]
    for row in wrong:
        print(json.dumps(row)[:600])
    print(f"{len(every) - len(wrong)} of {len(every)} rows hold")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
