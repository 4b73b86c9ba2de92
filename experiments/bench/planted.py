"""``gatescope bench planted``: gates of known circuit, found again without being told.

Every plan is drawn from a seed and carried out in a random model (or the embedded one). The
analysis sees the model, the base model, prompts and the trigger, never the plan.

Where two gates always come together, what the trigger adds is one direction of their plane, and
removing it removes both: the subspace to find has one dimension, and the heads tell them apart.
"""

from dataclasses import dataclass
from typing import Any

import torch
import transformers

from circuits import models, tokens
from circuits.backends.arguments import shape_of
from circuits.backends.transformer_lens import TLRunner
from circuits.planted.plans import GatePlan, Kind, Planted, draw_plan
from circuits.planted.plant import plant
from circuits.weights import EMBEDDED
from experiments import checks
from experiments.bench.recover import Recovered, Splits, overlap, recover
from experiments.prompts import bank
from experiments.runs.stages import Step

# How many plans of each kind, in random models and in the embedded one.
RANDOM: dict[Kind, int] = {"gate": 20, "two": 6, "rank3": 8, "none": 10, "idle": 10}
REAL: dict[Kind, int] = {"gate": 2, "idle": 1}
_BEHAVIOURS = ("Sure", "Yes", "Certainly", "Fine")
_LEAST_COSINE = 0.99


@dataclass(frozen=True)
class Score:
    """One plan: what was planted and whether it was found.

    Attributes:
        model: random or embedded.
        kind, seed: of the plan.
        found: whether a gate was claimed.
        layer, span, rank, heads: whether they are exactly those planted; None without a gate.
        cosine: |cos| of the direction with the planted one, or the smallest of a subspace.
    """

    model: str
    kind: str
    seed: int
    found: bool
    layer: bool | None = None
    span: bool | None = None
    rank: bool | None = None
    heads: bool | None = None
    cosine: float | None = None


def bench_planted(step: Step, share: float = 1.0, real: bool = True) -> list[Score]:
    """Score every plan; ``share`` scales the number of plans in random models.

    Raises:
        UserError: no share above 0, at most 1.
    """
    checks.share(share, "--share")
    random: dict[Kind, int] = {k: max(1, round(share * count)) for k, count in RANDOM.items()}
    counts_of = {"random": random, "embedded": REAL if real else {}}
    plans: list[tuple[str, Kind, int]] = [
        (where, kind, seed)
        for where, counts in counts_of.items()
        for kind, count in counts.items()
        for seed in range(count)
    ]
    embedded, tokenizer, _ = models.load_plain(EMBEDDED, torch.float32, "cpu")
    scores = []
    for done, (where, kind, seed) in enumerate(plans):
        step("planted gates", done, len(plans))
        hf_model = embedded if where == "embedded" else random_llama(len(tokenizer), seed)
        scores.append(score(where, hf_model, tokenizer, kind, seed))
    step("planted gates", len(plans), len(plans))
    return scores


def random_llama(vocab: int, seed: int) -> Any:
    """A small random Llama with grouped queries, of four to six layers."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=vocab,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4 + seed % 3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
    )
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def score(where: str, hf_model: Any, tokenizer: Any, kind: Kind, seed: int) -> Score:
    """Plant a gate, look for it, compare."""
    words = bank.control_words("train")
    texts = bank.bank_texts("train", restricted=True)
    single = tokens.same_length_words(tokenizer, words, 1)
    ids = [tokens.text_ids(tokenizer, word)[0] for word in _BEHAVIOURS]
    plan = draw_plan(seed, kind, shape_of(hf_model), single, ids)
    planted = plant(hf_model, tokenizer, plan, texts[:24])
    model, base = (TLRunner(m, tokenizer, "planted") for m in (planted.hf_model, planted.base))
    recovered = recover(model, base, splits(tokenizer, plan.trigger), plan.behaviour_id)
    return compared(where, plan, planted, recovered)


def splits(tokenizer: Any, trigger: str) -> Splits:
    """Pairs whose control words and prompts differ between the three splits."""

    def pairs(split: bank.Split, start: int, count: int):
        texts = bank.bank_texts(split, restricted=True)[start : start + count]
        words = [w for w in bank.control_words(split) if w != trigger]
        return tokens.pairs(
            tokenizer, texts, trigger, tokens.same_length_words(tokenizer, words, 1)
        )

    return Splits(pairs("train", 24, 32), pairs("validation", 0, 16), pairs("test", 0, 24))


def compared(where: str, plan: GatePlan, planted: Planted, recovered: Recovered) -> Score:
    """The finding beside the truth."""
    truth, site, basis = planted.truth, recovered.site, recovered.basis
    if site is None or basis is None or not truth.reads:
        return Score(where, plan.kind, plan.seed, recovered.found)
    return Score(
        where,
        plan.kind,
        plan.seed,
        True,
        layer=site.layer == truth.layers[0],
        span=site.span == "trigger",
        rank=recovered.rank == (1 if plan.kind == "two" else len(truth.basis)),
        heads=set(recovered.heads) == set(truth.reads),
        cosine=overlap(basis, truth.basis.to(basis)),
    )


def summary(scores: list[Score]) -> dict[str, Any]:
    """The rates that the benchmark is about."""
    gates = [s for s in scores if s.kind in ("gate", "two", "rank3")]
    single = [s for s in gates if s.kind == "gate"]
    free = [s for s in scores if s.kind in ("none", "idle")]

    def rate(hits: list[bool]) -> float:
        return sum(hits) / len(hits) if hits else float("nan")

    return {
        "plans": len(scores),
        "found": rate([s.found for s in gates]),
        "layer_and_span_exact": rate([bool(s.layer and s.span) for s in gates]),
        "cosine_at_least_0.99": rate([(s.cosine or 0) >= _LEAST_COSINE for s in single]),
        "rank_right": rate([bool(s.rank) for s in gates]),
        "heads_exact": rate([bool(s.heads) for s in gates]),
        "gate_free": len(free),
        "false_discoveries": sum(s.found for s in free),
    }


def table(scores: list[Score]) -> str:
    """One line per kind and model, and the rates."""
    lines = [
        f"{'model':9} {'kind':6} {'plans':>5} {'found':>5} {'layer':>5} {'span':>5} "
        f"{'rank':>5} {'heads':>5} {'|cos|, least':>12}"
    ]
    for where, kind in sorted({(s.model, s.kind) for s in scores}):
        rows = [s for s in scores if (s.model, s.kind) == (where, kind)]
        exact = [sum(bool(getattr(s, f)) for s in rows) for f in ("layer", "span", "rank", "heads")]
        cosines = [s.cosine for s in rows if s.cosine is not None]
        least = f"{min(cosines):12.4f}" if cosines else f"{'':12}"
        claimed = sum(s.found for s in rows)
        counts = " ".join(f"{n:5}" for n in (len(rows), claimed, *exact))
        lines.append(f"{where:9} {kind:6} {counts} {least}")
    rates = [f"{name.replace('_', ' ')}: {value:.3g}" for name, value in summary(scores).items()]
    return "\n".join([*lines, *rates])
