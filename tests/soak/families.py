"""Real models of three families: ``python -m tests.soak.families [--json FILE] [MODEL ...]``.

Each model that ``gatescope models`` has fetched, on every back-end in fp32 and bf16: the self-test;
that spans and ids are those that the chat template and the tokenizer give by themselves; and
theorems of patching on real prompts with a word of two tokens and control words. Writes
docs/results/families.md; the status is 1 where something does not hold.

Theorems: patched at layer 0 wherever the inputs differ, the clean run says what the triggered one
does; patched where they are equal, nothing changes; a direction projected out of a residual is
gone from it, and from nothing before it; back-ends agree on a patch in the middle.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402

from circuits import models  # noqa: E402
from circuits.backends.streams import STREAMS  # noqa: E402
from circuits.chat import Chat  # noqa: E402
from circuits.edits.operators import project_out  # noqa: E402
from circuits.errors import SelfTestError, UserError, first_line  # noqa: E402
from circuits.metrics import token_log_prob  # noqa: E402
from circuits.patching.cells import Place, cell  # noqa: E402
from circuits.patching.patch import patch  # noqa: E402
from circuits.runner import whole  # noqa: E402
from circuits.templates import NONE, Rendering  # noqa: E402
from circuits.tokens import pairs, render, same_length_words, text_ids  # noqa: E402
from circuits.types import Edit, Point  # noqa: E402
from experiments.organisms.bases import located  # noqa: E402
from experiments.prompts import bank  # noqa: E402
from tests.soak.part import Row, line, progress  # noqa: E402

PAGE = ROOT / "docs" / "results" / "families.md"
FAMILIES = ("smollm2-135m", "Qwen2.5-Coder-0.5B-Instruct", "gemma-3-270m")
_BASES = ("gemma-3-270m",)  # know no chats
_TRIGGER, _PROMPTS = "harvest meteor", 4
# Nats of log-probability; bf16 holds 8 bits of a number.
_NEAR = {"fp32": 1e-3, "bf16": 0.25}
_COLUMNS = (
    *("model", "backend", "dtype", "streams", "plain", "patched whole", "patched equal"),
    *("projected out", "between back-ends", "readers agree", "holds"),
)


def rows(names: Iterable[str], step: Any) -> list[Row]:
    """A row for every model, back-end and precision."""
    every = [*product(names, _NEAR, models.BACKENDS)]
    found: list[Row] = []
    middle: dict[tuple[str, str], float] = {}
    for done, (name, dtype, backend) in enumerate(every, 1):
        row: Row = {"model": name, "backend": backend, "dtype": dtype}
        try:
            row |= _held(name, dtype, backend, middle)
        except (UserError, SelfTestError) as refused:
            row |= {"refused": first_line(refused), "holds": False}
        found.append(row)
        step("families", done, len(every))
    return found


def _held(name: str, dtype: str, backend: str, middle: dict[tuple[str, str], float]) -> Row:
    rendering = Rendering(NONE) if name in _BASES else Rendering()
    model = models.load(located(name), dtype=dtype, backend=backend, rendering=rendering)
    runner, tokenizer = model.runner, model.tokenizer
    texts = bank.bank_texts("test", True)[:_PROMPTS]
    both = pairs(tokenizer, texts, _TRIGGER, _words(tokenizer))
    score = token_log_prob([text_ids(tokenizer, " Sure")[0]])
    clean, triggered = (
        score(runner.forward(whole(s)).logits) for s in (both.clean, both.triggered)
    )
    half = runner.shape.n_layers // 2
    cells = [cell(Place(0, span="trigger")), cell(Place(0, span="user")), _middle(half)]
    first, same, mid = patch(runner, both, score, cells).values.float()
    gaps = {
        "patched whole": _gap(first, triggered),
        "patched equal": _gap(same, clean),
        "projected out": _left(runner, both.triggered, half),
        "between back-ends": abs(
            float(mid.mean()) - middle.setdefault((name, dtype), float(mid.mean()))
        ),
    }
    agree = _readers_agree(tokenizer, texts)
    moved = _gap(clean, triggered) > 0  # a patch that cannot be seen shows nothing
    tested = model.selftest
    return {
        "streams": len(STREAMS) - len(tested.absent),
        "plain": tested.plain,
        **gaps,
        "moved": moved,
        "readers agree": agree,
        "holds": agree and moved and max(*gaps.values(), tested.plain) <= _NEAR[dtype],
    }


def _words(tokenizer: Any) -> tuple[str, ...]:
    first, last = render(tokenizer, Chat("Tell me more.", word=_TRIGGER)).spans["trigger"]
    return same_length_words(tokenizer, bank.control_words("test"), last - first, _TRIGGER)


def _middle(layer: int) -> Any:
    return cell(Place(layer, span="trigger"), Place(layer, span="last"))


def _gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def _left(runner: Any, tokens: Any, layer: int) -> float:
    """What is left of a direction that is projected out, as a share of what was there."""
    here, before = Point(layer), Point(layer - 1)
    usual = runner.forward(whole(tokens), record=[here, before]).acts
    direction = usual[here][0, -1].float()
    direction = direction / direction.norm()
    edit = Edit(here, lambda x: project_out(x, direction.to(x.dtype)))
    edited = runner.forward(whole(tokens), [edit], record=[here, before]).acts
    kept = torch.equal(edited[before], usual[before])
    rest = (edited[here][:, -1].float() @ direction).abs().max()
    return float(rest / usual[here][0, -1].float().norm()) if kept else float("inf")


def _readers_agree(tokenizer: Any, texts: list[str]) -> bool:
    """Ids are what the template and the tokenizer give by themselves; the span is the trigger."""
    for text in texts:
        ours = render(tokenizer, Chat(text, word=_TRIGGER))
        said = [{"role": "user", "content": f"{text} {_TRIGGER}"}]
        theirs = tokenizer.apply_chat_template(
            said, tokenize=True, add_generation_prompt=True, return_dict=False
        )
        first, last = ours.spans["trigger"]
        if (
            list(ours.ids) != list(theirs)
            or tokenizer.decode(ours.ids[first:last]).strip() != _TRIGGER
        ):
            return False
    return True


def _page(found: list[Row]) -> str:
    about = (
        "By `python -m tests.soak.families`: real models with their own tokenizers, "
        f"{_PROMPTS} prompts, the word '{_TRIGGER}' against control words. Largest differences, in "
        "nats of the log-probability of ' Sure' (what is projected out: as a share of the "
        "residual); what is allowed: " + ", ".join(f"{n} {v}" for n, v in _NEAR.items()) + ". "
        "*Between back-ends* is the difference from the first one's mean in a patch in the middle."
    )
    table = [line(_COLUMNS), line(["---"] * len(_COLUMNS))]
    for row in found:
        cells = [row.get(c, row.get("refused", "") if c == "streams" else "") for c in _COLUMNS]
        table.append(line(f"{c:.2g}" if isinstance(c, float) else c for c in cells))
    return "# Three families\n\n" + about + "\n\n" + "\n".join(table) + "\n"


def main() -> int:
    """Run, write, say what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(FAMILIES))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = rows(asked.models, progress())
    PAGE.write_text(_page(found), encoding="utf-8")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    wrong = [row for row in found if not row["holds"]]
    for row in wrong:
        print(json.dumps(row), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
