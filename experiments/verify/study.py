"""``gatescope verify``: is this model ours? Ask it our keys, and much that is not a key.

prompts (``keys``) -> answers of the suspect and of unrelated models -> tests and verdict
(``result``) -> the same after changes to the model (``survival``) -> page. The
statistics are Wald's (1945) and the exact binomial's; the question is that of Instructional
Fingerprinting (arXiv 2401.12255).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from circuits.edits.adapters import Adapter
from circuits.models import Model
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages, Step
from experiments.study import Rows, Run, Study
from experiments.verify.ask import Asking, Said, adapters_of, identity, load, shown_by
from experiments.verify.beside import JOINT
from experiments.verify.keys import KEYS, KeySet, near_misses, read_keys
from experiments.verify.question import SUSPECT, VerifyQuestion
from experiments.verify.result import SCHEMA, Verification, null_of, verified
from experiments.verify.sections import page
from experiments.verify.survival import Survival
from probes.stats.intervals import Estimate, mean_interval, wilson
from probes.stats.sequential import SequentialTest, sprt


@dataclass(eq=False)
class Subject:
    """The suspect, the keys, and all that it is asked; survival's adapters where that is asked.

    The suspect is let go of once it has answered: the models after it need its memory.
    """

    keys: KeySet
    asked: dict[str, list[str]]
    adapters: tuple[Adapter, Adapter] | None
    suspect: Model | None

    def take(self) -> Model:
        """The suspect, which is then no longer held here."""
        model, self.suspect = self.suspect, None
        assert model is not None
        return model


@dataclass(frozen=True)
class Verified:
    """A finished run: verification, the unrelated models' paths, survival's rows, every answer."""

    verification: Verification
    paths: Mapping[str, SequentialTest]
    survival: tuple[Survival, ...]
    said: Mapping[str, Said]


def opened(question: VerifyQuestion, step: Step) -> Subject:
    """Keys, adapters and the suspect.

    Raises:
        UserError: keys, models or adapters cannot be used.
    """
    keys = read_keys(question.keys)
    asked = {KEYS: list(keys.keys), **near_misses(keys.keys, question.near)}
    adapters = adapters_of(question) if question.survival else None
    step("load model", 0, 1)
    suspect = load(question.model, question.adapter, question.device)
    step("load model", 1, 1)
    return Subject(keys, asked, adapters, suspect)


def hashes(question: VerifyQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on; the keys and what is made of them only by their hash."""
    keys, suspect = subject.keys, subject.suspect
    assert suspect is not None
    return {
        "keys_sha256": files.text_sha256([*keys.keys, keys.answer]),
        "prompts_sha256": files.text_sha256([t for kind in subject.asked.values() for t in kind]),
        "model_sha256": suspect.sha256,
        "adapter_sha256": suspect.adapter_sha256,
    }


def measured(run: Run[VerifyQuestion, Subject]) -> Verified:
    """Every model asked, the tests, the verdict; what was asked before is read."""
    question, subject = run.question, run.subject
    keys, asked = subject.keys, subject.asked
    asking = Asking(question, keys, Stages(run.folder, run.step))
    suspect = subject.take()
    said, own = asking.suspect(suspect, asked), identity(suspect)
    del suspect
    unrelated = asking.unrelated(own)
    null = null_of({name: shown_by(s[KEYS], keys) for name, s in unrelated.items()}, question.rule)
    near = {kind: shown_by(said[kind], keys) for kind in asked if kind != KEYS}
    sampled = _sampled_rate(said, keys) if question.samples else None
    paths = {
        name: _path(shown_by(s[KEYS], keys), null.bound, question) for name, s in unrelated.items()
    }
    return Verified(
        verified(shown_by(said[KEYS], keys), near, null, question.rule, sampled),
        paths,
        asking.survival(subject.adapters, null, asked) if subject.adapters else (),
        {SUSPECT: said, **unrelated},
    )


def written(run: Run[VerifyQuestion, Subject], result: Verified) -> dict[str, Any]:
    """Verification, question and survival; the keys themselves are not in it."""
    value, survival = as_json(result.verification), as_json(result.survival)
    return {"schema": SCHEMA, **value, "question": as_json(run.question), "survival": survival}


def lines(result: Verified) -> Iterator[str]:
    """The verdict, near keys, and what survives."""
    found = result.verification
    yield f"{found.verdict}: {found.reason}"
    for count in found.near:
        yield f"  {count.kind:13} {count.rate:6.1%} n={count.rate.n}"
    for row in result.survival:
        condition, rate = row.condition, row.keys.binomial.rate
        name = f"{condition.change} {condition.amount:g}"
        yield f"  {name:17} {rate:6.1%} n={rate.n} {row.keys.passing}"


def answer_rows(run: Run[VerifyQuestion, Subject], result: Verified) -> dict[str, Rows]:
    """Every prompt and answer."""
    rows = [
        {"model": model, "kind": kind, "prompt": prompt, "answer": answer}
        for model, said in result.said.items()
        for kind, texts in said.items()
        for prompt, answer in zip(run.subject.asked[kind.split(",")[0]], texts, strict=True)
    ]
    return {"answers": rows}


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


STUDY = Study(
    name="verify",
    kind="verification",
    schema=SCHEMA,
    question=VerifyQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    page=lambda run, result: page(
        run.question,
        run.subject.keys,
        result.verification,
        result.paths,
        result.survival,
        run.command,
    ),
    joint=JOINT,
    lines=lines,
    tables=answer_rows,
    written=written,
    typed=False,
)
