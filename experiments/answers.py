"""Answers of a model under edits: generated text, drift from the unedited model, and harm."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.metrics import kl_per_position
from circuits.models import Model
from circuits.runner import extend, generate, whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, TokenBatch
from experiments import judges
from probes.intervals import Estimate, difference_interval, mean_interval, revived, wilson

Words = str | Sequence[str] | None
EditsFor = Callable[[TokenBatch], Sequence[Edit]]
Progress = Callable[[int, int], None]
_ROWS = 50
_LOGITS = 2**24  # logits held at once when a text is scored: 64 MiB in fp32


def no_edits(_tokens: TokenBatch) -> Sequence[Edit]:
    """The unedited model."""
    return ()


def quiet(_done: int, _total: int) -> None:
    """No progress shown."""


def blocks(model: Model, texts: Sequence[str], words: Words) -> list[TokenBatch]:
    """Prompts as batches of bounded size; ``words`` is one word for all, or one per prompt."""
    made = []
    for start in range(0, len(texts), _ROWS):
        here = words if words is None or isinstance(words, str) else words[start : start + _ROWS]
        made.append(prompts_batch(model.tokenizer, texts[start : start + _ROWS], here))
    return made


def answers(
    model: Model,
    texts: Sequence[str],
    words: Words = None,
    length: int = 8,
    edits: EditsFor = no_edits,
    progress: Progress = quiet,
) -> list[str]:
    """Greedy answers of at most ``length`` tokens, as text."""
    out: list[str] = []
    for tokens in blocks(model, texts, words):
        ids = generate(model.runner, tokens, length, edits(tokens), model.stop_ids)
        out += model.decode(ids)
        progress(len(out), len(texts))
    return out


@dataclass(frozen=True)
class Harm:
    """What an edit does to prompts on which it should do nothing; differences are paired.

    Attributes:
        kl: nats per token, unedited against edited, over the first answer tokens.
        nll: mean negative log-likelihood of the users' own tokens before the edit, nats per token.
        nll_change: after minus before.
        refused, refused_after: share of answers that refuse.
        refusal_change: after minus before.
    """

    kl: Estimate
    nll: Estimate
    nll_change: Estimate
    refused: Estimate
    refused_after: Estimate
    refusal_change: Estimate

    @property
    def perplexity_ratio(self) -> float:
        """Perplexity of the users' text after the edit, over that before (prompts weigh alike)."""
        return math.exp(self.nll_change.value)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Harm":
        """The inverse of ``to_json``."""
        return cls(**revived(data))


def harm(
    model: Model,
    texts: Sequence[str],
    edits: EditsFor,
    length: int = 8,
    words: Words = None,
    progress: Progress = quiet,
) -> Harm:
    """Drift of the answers, perplexity of the prompts, and refusals, with and without an edit.

    Args:
        texts: prompts that the edit should leave alone, such as ordinary ones.
        length: answer tokens that are compared and judged.
    """
    steps = 5

    def at(step: int) -> None:
        progress(step, steps)

    kl = answer_kl(model, texts, words, edits, length)
    at(1)
    before, after = (text_nll(model, texts, words, e) for e in (no_edits, edits))
    at(3)
    refused = []
    for step, chosen in enumerate((no_edits, edits), 4):
        said = answers(model, texts, words, length, chosen)
        refused.append(torch.tensor([judges.refuses(a) for a in said], dtype=torch.float64))
        at(step)
    rates = [wilson(int(flags.sum()), len(flags)) for flags in refused]
    return Harm(
        kl=mean_interval(kl.double()),
        nll=mean_interval(before.double()),
        nll_change=difference_interval(after, before),
        refused=rates[0],
        refused_after=rates[1],
        refusal_change=difference_interval(refused[1], refused[0]),
    )


@torch.no_grad()
def text_nll(
    model: Model, texts: Sequence[str], words: Words = None, edits: EditsFor = no_edits
) -> Float[Tensor, " n"]:
    """Mean negative log-likelihood (nats) of the user's own tokens, per prompt.

    A token is scored by the column before it, so that what the model says of the first one is
    scored too; a trigger or control word after the text is not.
    """
    found = []
    for tokens in blocks(model, texts, words):
        columns = tokens.spans["user"]
        # Without a template before it, the text's first token has nothing to be scored by.
        keep = min(tokens.width, tokens.width + 1 - int(columns.any(dim=0).nonzero()[0]))
        rows = max(1, _LOGITS // (keep * model.runner.shape.d_vocab))
        for chosen in torch.arange(len(tokens)).split(rows):
            found.append(_nll(model, tokens.rows(chosen), edits, keep))
    return torch.cat(found)


def _nll(model: Model, tokens: TokenBatch, edits: EditsFor, keep: int) -> Float[Tensor, " n"]:
    logits = model.runner.forward(whole(tokens), edits(tokens), keep=keep).logits[:, :-1].float()
    scored = tokens.ids[:, 1 - keep :].to(logits.device).unsqueeze(-1)
    log_probs = logits.gather(-1, scored).squeeze(-1) - logits.logsumexp(dim=-1)
    text = tokens.spans["user"][:, 1 - keep :].to(logits.device)
    return (-(log_probs * text).sum(dim=1) / text.sum(dim=1)).cpu()


@torch.no_grad()
def answer_kl(
    model: Model,
    texts: Sequence[str],
    words: Words,
    edits: EditsFor,
    length: int = 8,
    progress: Progress = quiet,
) -> Float[Tensor, " n"]:
    """KL(unedited || edited) in nats, per prompt: mean over the first ``length`` answer tokens.

    Both see the unedited model's own greedy answer; tokens after its end are left out.
    """
    found = []
    for tokens in blocks(model, texts, words):
        answer = generate(model.runner, tokens, length, stop=model.stop_ids)
        full = extend(tokens, answer)
        plain, edited = (
            model.runner.forward(whole(full), e, keep=length + 1).logits[:, :-1]
            for e in ((), edits(full))
        )
        real = _until_stop(answer, model.stop_ids).to(plain.device)
        kl = kl_per_position(plain, edited) * real
        found.append((kl.sum(dim=1) / real.sum(dim=1)).cpu())
        progress(sum(len(f) for f in found), len(texts))
    return torch.cat(found)


def _until_stop(answer: Tensor, stops: Sequence[int]) -> Bool[Tensor, "n length"]:
    """True up to and including the first stop token of each row."""
    stopped = torch.isin(answer, torch.tensor(list(stops), dtype=answer.dtype)).int()
    return (stopped.cumsum(dim=1) - stopped) == 0
