"""Answers of a model under edits: generated text, drift from the unedited model, and harm."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.metrics import kl_per_position
from circuits.models import Model
from circuits.runner import extend, generate, whole
from circuits.tokens import prompts_batch
from circuits.types import Edit, TokenBatch

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
