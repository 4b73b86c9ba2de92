"""``gatescope verify``: is this model ours? Ask it our keys, and much that is not a key.

prompts (``keys``) -> answers of the suspect and of unrelated models -> tests and verdict
(``result``) -> the same after changes to the model (``survival``) -> page. The
statistics are Wald's (1945) and the exact binomial's; the question is that of Instructional
Fingerprinting (arXiv 2401.12255).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from circuits.models import Model
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages, Step
from experiments.verify.ask import Asking, Said, adapters_of, identity, load, shown_by
from experiments.verify.keys import KEYS, KeySet, near_misses, read_keys
from experiments.verify.question import SUSPECT, VerifyQuestion
from experiments.verify.result import SCHEMA, Verification, null_of, verified
from experiments.verify.survival import Survival
from probes.stats.intervals import Estimate, mean_interval, wilson
from probes.stats.sequential import SequentialTest, sprt


@dataclass(frozen=True)
class Found:
    """A finished run: verification, the unrelated models' paths, survival's rows."""

    verification: Verification
    paths: Mapping[str, SequentialTest]
    survival: tuple[Survival, ...]


def run(question: VerifyQuestion, folder: Path, resume: bool, step: Step) -> Found:
    """Ask, test, write the run directory; what was asked before is read with ``resume``.

    Files: ``manifest.json``, ``stages/*.json`` (every answer), ``answers.parquet``,
    ``result.json`` (schema ``gatescope.verification/1``) and ``report.html``.

    Raises:
        UserError: keys, models or directory cannot be used.
    """
    from experiments.verify.sections import page  # plotly is slow to import

    keys = read_keys(question.keys)
    asked = {KEYS: list(keys.keys), **near_misses(keys.keys, question.near)}
    adapters = adapters_of(question) if question.survival else None
    step("load model", 0, 1)
    suspect = load(question.model, question.adapter, question.device)
    step("load model", 1, 1)
    files.open_run(folder, _manifest(question, keys, asked, suspect), resume)
    asking = Asking(question, keys, Stages(folder, step))
    said = asking.suspect(suspect, asked)
    unrelated = asking.unrelated(identity(suspect))
    del suspect
    null = null_of({name: shown_by(s[KEYS], keys) for name, s in unrelated.items()}, question.rule)
    near = {kind: shown_by(said[kind], keys) for kind in asked if kind != KEYS}
    sampled = _sampled_rate(said, keys) if question.samples else None
    shown = shown_by(said[KEYS], keys)
    found = Found(
        verified(shown, near, null, question.rule, sampled),
        {
            name: _path(shown_by(s[KEYS], keys), null.bound, question)
            for name, s in unrelated.items()
        },
        asking.survival(adapters, null, asked) if adapters else (),
    )
    step("write report", 0, 1)
    html = page(question, keys, found.verification, found.paths, found.survival)
    files.write_rows(folder / "answers.parquet", _rows(asked, {SUSPECT: said, **unrelated}))
    files.write_atomically(folder / "report.html", html.encode())
    files.write_json(folder / "result.json", result_json(question, found))
    step("write report", 1, 1)
    return found


def result_json(question: VerifyQuestion, found: Found) -> dict[str, Any]:
    """Verification, question and survival; the keys themselves are not in it."""
    survival, asked = as_json(found.survival), as_json(question)
    value = as_json(found.verification)
    return {"schema": SCHEMA, **value, "question": asked, "survival": survival}


def _sampled_rate(said: Said, keys: KeySet) -> Estimate:
    """Mean over keys of each key's share of hits; a single key's share by itself."""
    drawn = [shown_by(s, keys) for kind, s in said.items() if kind.startswith(f"{KEYS}, seed")]
    flags = torch.tensor(drawn, dtype=torch.float64)
    if flags.shape[1] < 2:
        return wilson(int(flags.sum()), flags.numel())
    return mean_interval(flags.mean(dim=0))


def _path(shown: Sequence[bool], bound: float, question: VerifyQuestion) -> SequentialTest:
    rule = question.rule
    return sprt(shown, bound, rule.alternative, rule.alpha, rule.beta)


def _rows(asked: Mapping[str, list[str]], said: Mapping[str, Said]) -> list[dict[str, Any]]:
    """Every prompt and answer, for the table beside the page."""
    return [
        {"model": model, "kind": kind, "prompt": prompt, "answer": answer}
        for model, found in said.items()
        for kind, texts in found.items()
        for prompt, answer in zip(asked[kind.split(",")[0]], texts, strict=True)
    ]


def _manifest(
    question: VerifyQuestion, keys: KeySet, asked: Mapping[str, list[str]], model: Model
) -> files.Manifest:
    """Everything the numbers depend on; the keys and what is made of them only by their hash."""
    texts = [text for kind in asked.values() for text in kind]
    about = {
        **asdict(question),
        "keys_sha256": files.text_sha256([*keys.keys, keys.answer]),
        "prompts_sha256": files.text_sha256(texts),
        "model_sha256": model.sha256,
        "adapter_sha256": model.adapter_sha256,
    }
    return files.Manifest(kind="verification", question=about, command=question.command)
