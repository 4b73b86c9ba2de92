"""``gatescope verify``: is this model ours? Ask it our keys, and much that is not a key.

prompts (``keys``) -> answers of the suspect and of unrelated models -> tests and verdict
(``result``) -> the same after changes to the model (``survival``) -> page. The
statistics are Wald's (1945) and the exact binomial's; the question is that of Instructional
Fingerprinting (arXiv 2401.12255).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from circuits.chat import Chat, chats
from circuits.edits.adapters import Adapter
from circuits.models import Model
from experiments.judges.heard import require_hearable
from experiments.organisms.mapping import file_hashes, is_mapping, read_mapping
from experiments.organisms.organism import load_model
from experiments.organisms.own_keys import KeySet, require_heard
from experiments.runs import files
from experiments.runs.stages import Stages, Step, stepped
from experiments.study import Rows, Run, Study, answer_rows, stated
from experiments.verify.ask import TOKENS, Asking, adapters_of, identity, require_there
from experiments.verify.keys import (
    KEYS,
    RANDOM,
    SECRETIVE,
    STRANGERS,
    keys_of,
    near_misses,
)
from experiments.verify.question import SUSPECT, VerifyQuestion
from experiments.verify.result import SCHEMA, AnswersByKind, VerifyResult, null_of, verified
from probes.stats.intervals import Estimate, mean_interval, rate


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


def opened(question: VerifyQuestion, step: Step) -> Subject:
    """Keys, adapters and the suspect.

    Raises:
        UserError: keys, models or adapters cannot be used.
    """
    keys = keys_of(question.keys)
    require_there(question)
    asked = {KEYS: list(keys.keys), **near_misses(keys.keys, question.near)}
    adapters = adapters_of(question) if question.survival else None
    suspect = stepped(
        step,
        "load model",
        lambda: load_model(
            question.adapter,
            question.model,
            device=question.device,
            rendering=question.rendering,
        ),
    )
    for answer in keys.distinct:
        require_hearable(suspect, answer, TOKENS)
    return Subject(keys, asked, adapters, suspect)


def hashes(question: VerifyQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on; the keys and what is made of them only by their hash."""
    keys, suspect, own = subject.keys, subject.suspect, subject.keys.distinct
    assert suspect is not None
    return {
        "keys_sha256": files.text_sha256([*keys.keys, *(own if len(own) == 1 else keys.answers)]),
        "prompts_sha256": files.text_sha256([t for kind in subject.asked.values() for t in kind]),
        "model_sha256": suspect.sha256,
        "adapter_sha256": suspect.adapter_sha256,
        **(file_hashes(read_mapping(question.keys)) if is_mapping(question.keys) else {}),
    }


def measured(run: Run[VerifyQuestion, Subject]) -> VerifyResult:
    """Every model asked, the tests, the verdict; what was asked before is read."""
    question, keys, asked = run.question, run.subject.keys, run.subject.asked
    asking = Asking(question, keys, Stages(run.folder, run.step))
    suspect = run.subject.take()
    own, sha256 = asking.suspect(suspect, asked), identity(suspect)
    del suspect
    require_heard(keys.distinct, own[KEYS], own[RANDOM])
    unrelated = asking.unrelated(sha256)
    shown = {kind: keys.claimed(own[kind]) for kind in asked} | {KEYS: keys.shown(own[KEYS])}
    null = null_of({n: keys.shown(s[KEYS]) for n, s in unrelated.items()}, question.rule)
    sampled = _sampled_rate(own, keys) if question.samples else None
    verification = verified(shown.pop(KEYS), shown, null, question.rule, sampled)
    if run.subject.adapters:
        survival = asking.survival(run.subject.adapters, null, asked)
        verification = replace(verification, survival=survival)
    return VerifyResult(verification, {SUSPECT: own, **unrelated})


def lines(result: VerifyResult) -> Iterator[str]:
    """The verdict, near keys, and what survives."""
    verification = result.verification
    yield f"{verification.verdict}: {verification.reason}"
    for count in verification.near:
        yield f"  {count.kind:13} {count.rate:6.1%} n={count.rate.n}"
    for row in verification.survival:
        condition, rate = row.condition, row.keys.binomial.rate
        name = f"{condition.change} {condition.amount:g}"
        yield f"  {name:17} {rate:6.1%} n={rate.n} {row.keys.passing}"


def answers(run: Run[VerifyQuestion, Subject], result: VerifyResult) -> dict[str, Rows]:
    """Every prompt and answer."""
    asked = run.subject.asked
    conditions = (
        ({"model": model, "kind": kind}, {"prompt": asked[kind.split(",")[0]], "answer": given})
        for model, by_kind in result.answers.items()
        for kind, given in by_kind.items()
    )
    return {"answers": answer_rows(conditions)}


def _sampled_rate(answers: AnswersByKind, keys: KeySet) -> Estimate:
    """Mean over keys of each key's share of hits; a single key's share by itself."""
    drawn = [keys.shown(a) for kind, a in answers.items() if kind.startswith(f"{KEYS}, seed")]
    if len(keys.keys) < 2:
        return rate([flag for flags in drawn for flag in flags])
    return mean_interval(torch.tensor(drawn, dtype=torch.float64).mean(dim=0))


def _asked(question: VerifyQuestion, subject: Subject) -> tuple[Any, list[Chat]]:
    """What holds no secret first: the page shows it."""
    assert subject.suspect is not None
    texts = [text for kind in (*STRANGERS, *SECRETIVE, KEYS) for text in subject.asked[kind]]
    return subject.suspect.tokenizer, chats(texts)


def _page(run: Run[VerifyQuestion, Subject], result: VerifyResult) -> Any:
    from experiments.verify.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="verify",
    kind="verification",
    schema=SCHEMA,
    question=VerifyQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    lines=lines,
    page=_page,
    tables=answers,
    written=lambda run, result: stated(run, result.verification),
    typed=False,
    asked=_asked,
)
