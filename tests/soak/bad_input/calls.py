"""What a notebook calls: questions, the engine, the readers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from circuits import models, tokens
from circuits.metrics import logit_difference, token_log_prob, token_prob
from circuits.patching.cells import Place, Sweep, cell, parse
from circuits.patching.patch import patch
from circuits.patching.path_patch import path_patch
from circuits.search import SearchPlan
from circuits.templates import Rendering
from experiments.analyze.question import Question
from experiments.battery.battery import Plan
from experiments.defend.question import DefenceQuestion
from experiments.evaluate.profiles import read_profile
from experiments.evaluate.question import EvaluateQuestion
from experiments.evaluate.scorecard import read_scorecard
from experiments.geometry.question import GeometryQuestion
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given, load_model, open_organism
from experiments.organisms.recipe import varied
from experiments.orthogonalise import save_orthogonalised, save_without_gate
from experiments.patch.question import PatchQuestion
from experiments.prompts.bank import control_words, read_prompts
from experiments.prompts.held_out import OwnPrompts
from experiments.report.read import read_runs
from experiments.runs.files import read_json, read_tensors
from experiments.runs.ledger import Ledger
from experiments.scan.question import Plan as ScanPlan
from experiments.scan.question import ScanQuestion
from experiments.studies import ask, joints
from experiments.verify.question import VerifyQuestion
from probes.causal.tables import grid_stats, stats_table
from tests.soak.bad_input.drive import Case
from tests.soak.bad_input.shared import linked

Any_: Any = None  # what an annotation forbids, a notebook gives all the same
_TEXTS = ("Name three rivers.", "How do I bake bread?")
_WORDS = control_words("train")[:2]


def _model() -> Any:
    return models.load("gate", None)


def _patched(metric: Any = None, what: Any = None, **how: Any) -> Any:
    model = _model()
    both = tokens.pairs(model.tokenizer, _TEXTS, "cobalt", _WORDS)
    return patch(model.runner, both, metric or token_log_prob([5]), what, **how).values.shape


def _path(senders: Any, receivers: Any) -> Any:
    model = _model()
    both = tokens.pairs(model.tokenizer, _TEXTS, "cobalt", _WORDS)
    return path_patch(model.runner, both, token_log_prob([5]), senders, receivers).values.shape


def _pairs(texts: Any = _TEXTS, trigger: Any = "cobalt", words: Any = _WORDS) -> Any:
    return tokens.pairs(_model().tokenizer, texts, trigger, words).clean.width


def _grid(folder: str) -> Any:
    return Ledger(Path(folder)).grid("grid-denoising")


def _table(grid: Any) -> Any:
    return list(stats_table(grid, grid_stats(grid)).columns)


def _small(**changes: Any) -> Question:
    few = dict(fit=8, validation=8, test=10, patch=2, randoms=3, tokens=2, evidence=5, trace=0)
    return Question(**{"model": "gate", "adapter": "none", "base": "none", **few, **changes})


# name, call, pattern of the refusal
REFUSED: Sequence[tuple[str, Callable[[], Any], str]] = (
    ("load: no such device", lambda: models.load("gate", None, device="tpu"), "device"),
    ("load: cuda without one", lambda: models.load("gate", None, device="cuda"), "device|cuda"),
    ("load: no such dtype", lambda: models.load("gate", None, dtype="fp7"), "dtype"),
    (
        "load: no such back-end",
        lambda: models.load("gate", None, backend="nope"),
        "backend|back-end",
    ),
    ("load: no such model", lambda: models.load("nowhere/x/y", None), "model"),
    ("load: no such adapter", lambda: load_model("nope", "gate"), "adapter"),
    ("pairs: no control words", lambda: _pairs(words=()), "control word"),
    ("pairs: no texts", lambda: _pairs(texts=()), "prompts|texts"),
    ("pairs: a number for a text", lambda: _pairs(texts=(1, 2)), "text"),
    ("pairs: None for a trigger", lambda: _pairs(trigger=None), "trigger|span"),
    ("pairs: a number for a trigger", lambda: _pairs(trigger=5), "trigger"),
    ("pairs: an empty trigger", lambda: _pairs(trigger=""), "trigger|word"),
    (
        "patch: a token out of range",
        lambda: _patched(token_log_prob([1_000_000])),
        "token ids below",
    ),
    ("patch: a negative token", lambda: _patched(token_log_prob([-5])), "token id"),
    ("patch: no token", lambda: _patched(token_log_prob([])), "token id"),
    ("patch: half a token", lambda: _patched(token_log_prob([1.5])), "token id"),  # type: ignore
    ("patch: another token out of range", lambda: _patched(token_prob([10**9])), "token ids below"),
    ("patch: a difference out of range", lambda: _patched(logit_difference(1, 10**7)), "token ids"),
    ("patch: a difference of a negative", lambda: _patched(logit_difference(1, -1)), "token id"),
    ("patch: no cells", lambda: _patched(what=[]), "at least one cell"),
    ("patch: a layer beyond the model's", lambda: _patched(what=[(Place(99),)]), "layer"),
    ("patch: a negative layer", lambda: _patched(what=[(Place(-1),)]), "layer"),
    ("patch: a head beyond the model's", lambda: _patched(what=[parse("z[0].99")]), "head"),
    ("patch: a span that is none", lambda: _patched(what=[parse("z[0] at nowhere")]), "span"),
    ("patch: a stream that is none", lambda: _patched(what=Sweep("nope")), "stream"),
    ("patch: a direction that is none", lambda: _patched(direction="sideways"), "direction"),
    ("patch: a metric that reduces", lambda: _patched(lambda logits: logits.sum()), "metric"),
    ("path: no receiver", lambda: _path([parse("z[0].0")], []), "receiver"),
    (
        "path: a receiver beyond the model's",
        lambda: _path([parse("z[0].0")], parse("q[99]")),
        "layer",
    ),
    ("path: a receiver's head beyond", lambda: _path([parse("z[0].0")], parse("q[3].99")), "head"),
    ("path: a sender that is none", lambda: _path([parse("resid_pre[0]")], "logits"), "sender"),
    ("path: receivers of text", lambda: _path([parse("z[0].0")], "nope"), "receivers"),
    ("cell: no places", lambda: cell(), "at least one place"),
    ("site: nothing", lambda: parse(""), "site"),
    ("sweep: heads of a residual", lambda: Sweep("resid_pre", head=True), "heads"),
    ("question: a number for a trigger", lambda: Question(trigger=5), "--trigger"),
    ("question: an empty trigger", lambda: Question(trigger=""), "--trigger"),
    ("question: text for a count", lambda: Question(fit="12"), "--fit"),
    ("question: NaN for a count", lambda: Question(fit=float("nan")), "--fit"),
    ("question: None for a count", lambda: Question(tokens=Any_), "--tokens"),
    ("question: 2^70 for a seed", lambda: Question(seed=2**70), "--seed"),
    ("question: a list for a model", lambda: Question(model=["gate"]), "--model"),
    ("patch question: None for a trigger", lambda: PatchQuestion(trigger=Any_), "--trigger"),
    ("patch question: a text for sites", lambda: PatchQuestion(sites="z[0]"), "--site"),
    ("patch question: 0 pairs", lambda: PatchQuestion(count=0), "--count"),
    ("rendering: an option without a value", lambda: Rendering(options=("x",)), "NAME=VALUE"),
    (
        "defence question: a text for names",
        lambda: DefenceQuestion(Given("x"), "leace"),
        "--defence",
    ),
    ("defence question: a text for an organism", lambda: DefenceQuestion("x"), "given"),
    ("scan plan: -1 phrases", lambda: ScanPlan(phrases=-1), "--phrases"),
    (
        "scan question: twice the same",
        lambda: ScanQuestion(Given("x"), clean=("a", "a")),
        "--clean",
    ),
    ("battery plan: falling", lambda: Plan(tuning=(5, 3)), "rising"),
    ("search plan: nothing", lambda: SearchPlan(tokens=0), "free tokens"),
    ("geometry question: 1 pair", lambda: GeometryQuestion(Given("x"), pairs=1), "--pairs"),
    ("verify question: no prompts", lambda: VerifyQuestion(near=0), "--near"),
    ("evaluate question: None", lambda: EvaluateQuestion(Any_), "mapping"),
    ("given: None", lambda: Given(Any_), "organism"),
    ("own prompts: a number", lambda: OwnPrompts(3), "--prompts"),
    ("organism: not there", lambda: open_organism(Given("nowhere")), "nowhere"),
    ("recipe: not there", lambda: recipe_named("nope"), "nope"),
    ("recipe: a rate of NaN", lambda: varied(recipe_named("clean"), rate=float("nan")), "--rate"),
    ("recipe: -1 poisons", lambda: varied(recipe_named("sure-gate"), poisons=-1), "at least 0"),
    (
        "analyze: an arm that is none",
        lambda: ask("analyze", _small(arms="nope"), Path("r")),
        "nope",
    ),
    ("analyze: a folder of NUL", lambda: ask("analyze", _small(), "r\0"), "--out"),
    ("read_prompts: not there", lambda: read_prompts("gone.jsonl"), "gone.jsonl"),
    ("read_prompts: None", lambda: read_prompts(Any_), "prompts"),
    ("read_profile: not there", lambda: read_profile("nope"), "profile"),
    ("read_scorecard: not there", lambda: read_scorecard(Path("nope")), "nope"),
    ("read_runs: not there", lambda: read_runs([Path("nope")], joints()), "nope"),
    ("read_runs: none", lambda: read_runs([], joints()), "run"),
    ("a patch grid: not there", lambda: _grid("nope"), "nope"),
    ("read_json: a directory", lambda: read_json(Path("gate")), "gate"),
    ("read_tensors: JSON", lambda: read_tensors(Path("first.json")), "first.json"),
    ("orthogonalise: no run", lambda: save_without_gate(Path("gate"), Path("new")), "gate"),
    (
        "orthogonalise: another width",
        lambda: save_orthogonalised("gate", None, torch.eye(7)[:1], Path("new")),
        "7|width|basis",
    ),
    (
        "orthogonalise: NaN",
        lambda: save_orthogonalised("gate", None, torch.full((1, 64), torch.nan), Path("new")),
        "orthonormal|finite|nan",
    ),
)
ACCEPTED: Sequence[tuple[str, Callable[[], Any], str]] = (
    ("patch: good", lambda: _patched(), "Size"),
    ("pairs: good", lambda: _pairs(), r"\d+"),
    ("patch: one site", lambda: _patched(what=[parse("z[0].1 at last")]), "Size"),
    ("path: good", lambda: _path([parse("z[0].0")], parse("q[3].0")), "Size"),
    (
        "stats_table: good",
        lambda: _table(_grid("patched")),
        "recovery",
    ),
    (
        "a folder of text",
        lambda: ask(
            "patch", PatchQuestion("gate", "none", count=2, by="layer", direction="denoising"), "r"
        ).directions.keys(),
        "denoising",
    ),
    ("a list for sites", lambda: PatchQuestion(sites=["z[0]"]).sites, "z.0"),
)


def cases() -> Iterator[Case]:
    """Calls that are refused with the terminal's own lines, and those that are good."""
    for name, call, says in REFUSED:
        yield Case(name, "python", call, says, linked())
    for name, call, says in ACCEPTED:
        yield Case(name, "python", call, says, linked(), accepted=True, leaves=True)
