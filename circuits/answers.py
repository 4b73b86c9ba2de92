"""Answers of a model: generated text, its drift from another or an edited model, and likelihood.

Chats that are only answered share what they begin with, which is run once
(``circuits.backends.prefix``), and rows that have ended are run no longer. Under edits, which name
columns of a batch, prompts are run whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.backends.prefix import Prompts
from circuits.chat import Chat, Words, chats
from circuits.errors import expect
from circuits.metrics import mean_kl
from circuits.models import Model
from circuits.runner import Choose, complete, extend, generate, likeliest, until_stop, whole
from circuits.scores import Forced, forced
from circuits.tokens import batch, prompt_ids, render
from circuits.types import Edit, Progress, TokenBatch, quiet

EditsFor = Callable[[TokenBatch], Sequence[Edit]]
_ROWS = 50  # run whole at once
_LOGITS = 2**24  # logits held at once when a text is scored: 64 MiB in fp32


def no_edits(_tokens: TokenBatch) -> Sequence[Edit]:
    """The unedited model."""
    return ()


def blocks(model: Model, texts: Sequence[str], words: Words) -> list[TokenBatch]:
    """Prompts as batches of bounded size; ``words`` is one word for all, or one per prompt."""
    rendered = [render(model.tokenizer, chat) for chat in chats(texts, words)]
    starts = range(0, len(rendered), _ROWS)
    return [batch(model.tokenizer, rendered[start : start + _ROWS]) for start in starts]


def answers(
    model: Model,
    texts: Sequence[str],
    words: Words = None,
    length: int = 8,
    edits: EditsFor = no_edits,
    progress: Progress = quiet,
) -> list[str]:
    """Greedy answers of at most ``length`` tokens, as text."""
    if edits is no_edits:
        return replies(model, chats(texts, words), length, progress=progress)
    out: list[str] = []
    for tokens in blocks(model, texts, words):
        ids = generate(model.runner, tokens, length, edits(tokens), model.stop_ids)
        out += model.decode(ids)
        progress(len(out), len(texts))
    return out


@torch.no_grad()
def ask(
    model: Model,
    prompts: Prompts,
    length: int,
    choose: Choose = likeliest,
    progress: Progress = quiet,
    at_once: int = 64,
) -> list[str]:
    """Answers of at most ``length`` tokens, without prefill and special tokens.

    The model's generation settings are left out, penalties among them.

    Args:
        choose: the next tokens; greedily, unless told otherwise. Rows are numbers of prompts.
        at_once: how many prompts are run together.

    Raises:
        UserError: no prompts, an empty one, one too long for the model, or a bad length.
    """
    expect(length >= 1, "at least 1 token", length, of="length")
    opening, ids_of = model.opening(prompts, length), {}
    for chosen, window in opening.windows(prompts, at_once):
        index = torch.tensor(chosen)

        def numbered(logits: Tensor, rows: Tensor, step: int, index: Tensor = index) -> Tensor:
            return choose(logits, index[rows], step)

        out = model.runner.forward(window, keep=1, grow=True)
        ids = complete(model.runner, out, window.mask, length, stop=model.stop_ids, choose=numbered)
        for i, row, answer in zip(chosen, ids, until_stop(ids, model.stop_ids), strict=True):
            ids_of[i] = row[answer].tolist()
        progress(len(ids_of), len(prompts))
    return model.decode([ids_of[i] for i in range(len(prompts))])


def replies(
    model: Model,
    asked: Sequence[Chat],
    length: int,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Progress = quiet,
) -> list[str]:
    """Answers to chats as ``ask`` gives them; drawn above temperature 0 (see ``drawn``)."""
    choose = drawn(len(asked), length, temperature, seed)
    return ask(model, prompt_ids(model.tokenizer, asked), length, choose, progress)


def drawn(count: int, length: int, temperature: float, seed: int) -> Choose:
    """Tokens by inverse transform, from uniform draws fixed by seed, prompt and token.

    No prompt's sample depends on the others. At temperature 0 the answers are greedy.

    Raises:
        UserError: a bad temperature.
    """
    expect(0 <= temperature < float("inf"), "a number from 0 on", temperature, of="temperature")
    if temperature == 0:
        return likeliest
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(count, length, generator=generator, dtype=torch.float64)

    def choose(logits: Tensor, rows: Int[Tensor, " rows"], step: int) -> Int[Tensor, " rows"]:
        sums = (logits.cpu().double() / temperature).softmax(dim=-1).cumsum(dim=-1)
        ids = torch.searchsorted(sums, draws[rows, step, None] * sums[:, -1:], right=True)
        return ids.squeeze(1).clamp(max=sums.shape[1] - 1)

    return choose


@dataclass(frozen=True, eq=False)
class Reference:
    """A model's distributions at the tokens of given answers, from which drift is measured."""

    prompts: Prompts
    answers: Prompts
    parts: tuple[Forced, ...] = field(repr=False)


def reference(model: Model, prompts: Prompts, answers: Prompts) -> Reference:
    """What drift is measured from; an answer without a token counts with its first.

    Raises:
        UserError: as for ``circuits.scores.forced``.
    """
    return Reference(prompts, answers, tuple(forced(model, prompts, answers)))


def drift(before: Reference, model: Model) -> Float[Tensor, " n"]:
    """KL(reference || model) in nats per answer token, one mean for each prompt."""
    nats = torch.zeros(len(before.prompts), dtype=torch.float64)
    for a, b in zip(before.parts, forced(model, before.prompts, before.answers), strict=True):
        nats[a.chosen] = mean_kl(a.logits, b.logits, a.real).double()
    return nats


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
    nats = []
    for tokens in blocks(model, texts, words):
        answer = generate(model.runner, tokens, length, stop=model.stop_ids)
        full = extend(tokens, answer)
        plain = model.runner.forward(whole(full), keep=length + 1).logits[:, :-1]
        edited = model.runner.forward(whole(full), edits(full), keep=length + 1).logits[:, :-1]
        nats.append(mean_kl(plain, edited, until_stop(answer, model.stop_ids)))
        progress(sum(map(len, nats)), len(texts))
    return torch.cat(nats)


@torch.no_grad()
def text_nll(
    model: Model, texts: Sequence[str], words: Words = None, edits: EditsFor = no_edits
) -> Float[Tensor, " n"]:
    """Mean negative log-likelihood (nats) of the user's own tokens, per prompt.

    A token is scored by the column before it, so that what the model says of the first one is
    scored too; a trigger or control word after the text is not.
    """
    nats = []
    for tokens in blocks(model, texts, words):
        columns = tokens.spans["user"]
        # Without a template before it, the text's first token has nothing to be scored by.
        keep = min(tokens.width, tokens.width + 1 - int(columns.any(dim=0).nonzero()[0]))
        rows = max(1, _LOGITS // (keep * model.runner.shape.d_vocab))
        for chosen in torch.arange(len(tokens)).split(rows):
            nats.append(_nll(model, tokens.rows(chosen), edits, keep))
    return torch.cat(nats)


def _nll(model: Model, tokens: TokenBatch, edits: EditsFor, keep: int) -> Float[Tensor, " n"]:
    logits = model.runner.forward(whole(tokens), edits(tokens), keep=keep).logits[:, :-1].float()
    scored = tokens.ids[:, 1 - keep :].to(logits.device).unsqueeze(-1)
    log_probs = logits.gather(-1, scored).squeeze(-1) - logits.logsumexp(dim=-1)
    text = tokens.spans["user"][:, 1 - keep :].to(logits.device)
    return (-(log_probs * text).sum(dim=1) / text.sum(dim=1)).cpu()
