"""How probable given answers are, and what lies between two prompts (teacher forcing).

What the prompts begin with is run once (``circuits.backends.prefix``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.backends.prefix import Prompts, by_length
from circuits.errors import expect
from circuits.models import Model
from circuits.runner import Window
from circuits.tokens import text_ids

_ROWS = 64  # run at once
_UNEMBEDDED = 512  # positions whose logits are held at once


@dataclass(frozen=True)
class Scores:
    """What a model thinks of given answers.

    Attributes:
        log_prob: mean log-probability of the answer's tokens, in nats.
        first_margin: logit of the answer's first token minus the largest other logit there.
    """

    log_prob: Float[Tensor, " n"]
    first_margin: Float[Tensor, " n"]


@dataclass(frozen=True)
class Forced:
    """Logits of the columns that predict the tokens of given answers, for some prompts.

    Attributes:
        chosen: which prompts, row by row.
        real: the columns that predict a token of the row's own answer; the others come before.
        ids: the tokens that they predict.
    """

    chosen: list[int]
    logits: Float[Tensor, "rows keep vocab"]
    real: Bool[Tensor, "rows keep"]
    ids: Int[Tensor, "rows keep"]

    def log_probs(self) -> list[Float[Tensor, " tokens"]]:
        """Log-probability of each token of each row's answer, in fp64 on the CPU."""
        ids = self.ids.to(self.logits.device)[..., None]
        logits = self.logits.float().gather(2, ids).squeeze(2)
        log_probs = (logits - self.logits.float().logsumexp(dim=-1)).double().cpu()
        return [row[real] for row, real in zip(log_probs, self.real, strict=True)]

    def first_margins(self) -> Float[Tensor, " rows"]:
        """The first token's logit minus the largest other, in fp64 on the CPU."""
        rows, first = torch.arange(len(self.chosen)), self.real.int().argmax(dim=1)
        at = self.ids[rows, first].to(self.logits.device)[:, None]
        logits = self.logits[rows, first]
        others = logits.scatter(1, at, float("-inf")).amax(dim=-1)
        return (logits.gather(1, at).squeeze(1) - others).double().cpu()


@torch.no_grad()
def forced(model: Model, prompts: Prompts, answers: Prompts) -> Iterator[Forced]:
    """Read every prompt with its answer, some at a time.

    An answer without a token is scored where its first would be.

    Raises:
        UserError: no prompts, an empty one, one too long for the model with its answer.
    """
    opening = model.opening(prompts, max(map(len, answers)))
    read = list(map(_read, prompts, answers))
    for chosen, window in opening.windows(read, _at_once(answers)):
        yield _forced(model, window, chosen, [answers[i] for i in chosen])


def answer_log_probs(
    model: Model, prompts: Prompts, answers: Prompts
) -> list[Float[Tensor, " tokens"]]:
    """Log-probability (nats) of each token of each answer, in fp64 on the CPU.

    Raises:
        UserError: as for :func:`forced`.
    """
    by_prompt = {}
    for part in forced(model, prompts, answers):
        by_prompt |= dict(zip(part.chosen, part.log_probs(), strict=True))
    return [by_prompt[i] for i in range(len(prompts))]


def scores(model: Model, prompts: Prompts, answers: Sequence[str]) -> Scores:
    """How probable a fixed answer is after each prompt, in fp64 on the CPU.

    Raises:
        UserError: as for :func:`forced`; not one answer for each prompt, or an empty one.
    """
    targets = _answer_ids(model, prompts, answers)
    log_prob, margin = torch.zeros(2, len(prompts), dtype=torch.float64)
    for part in forced(model, prompts, targets):
        log_prob[part.chosen] = torch.stack([tokens.mean() for tokens in part.log_probs()])
        margin[part.chosen] = part.first_margins()
    return Scores(log_prob, margin)


@torch.no_grad()
def interpolated(
    model: Model, clean: Prompts, triggered: Prompts, answers: Sequence[str], steps: int
) -> Float[Tensor, "n steps"]:
    """Probability of an answer as the input embeddings go straight from one prompt to another.

    A pair's columns with equal tokens stay as they are. The first step is the clean prompt, the
    last the triggered one; the probability is the product over the answer's tokens.

    Raises:
        UserError: as for :func:`scores`; fewer than 2 steps, or a pair of unequal lengths.
    """
    expect(steps >= 2, "at least 2 (both ends)", steps, of="steps")
    _require_pairs(clean, triggered)
    targets = _answer_ids(model, clean, answers)
    opening = model.opening([*clean, *triggered], max(map(len, targets)))
    probability = torch.zeros(len(clean) * steps, dtype=torch.float64)
    for chosen in by_length([ids for ids in clean for _ in range(steps)], _at_once(targets)):
        pairs = [i // steps for i in chosen]
        start = opening.window([_read(clean[i], targets[i]) for i in pairs])
        end = opening.window([_read(triggered[i], targets[i]) for i in pairs])
        share = torch.tensor([i % steps for i in chosen]) / (steps - 1)
        part = _forced(
            model, _between(model, start, end, share), chosen, [targets[i] for i in pairs]
        )
        probability[chosen] = torch.stack([tokens.sum().exp() for tokens in part.log_probs()])
    return rearrange(probability, "(pair step) -> pair step", step=steps)


def _forced(model: Model, window: Window, chosen: list[int], answers: Prompts) -> Forced:
    keep = max(1, max(map(len, answers)))
    logits = model.runner.forward(window, keep=keep).logits
    counts = torch.tensor([max(1, len(answer)) for answer in answers])
    ids = torch.tensor([[0] * (keep - len(answer)) + list(answer) for answer in answers])
    return Forced(chosen, logits, torch.arange(keep) >= keep - counts[:, None], ids)


def _between(model: Model, start: Window, end: Window, share: Float[Tensor, " rows"]) -> Window:
    """Embeddings a share of the way from one window to another, exact at both ends."""
    embed, device = model.runner.hf_model.get_input_embeddings(), model.runner.shape.device
    a, b = embed(start.ids.to(device)), embed(end.ids.to(device))
    return replace(start, embedded=torch.lerp(a, b, share.to(a)[:, None, None]))


def _answer_ids(model: Model, prompts: Prompts, answers: Sequence[str]) -> list[list[int]]:
    got = "a text" if isinstance(answers, str) else len(answers)
    expect(got == len(prompts), f"one for each of {len(prompts)} prompts", got, of="answers")
    ids = [text_ids(model.tokenizer, text) for text in answers]
    expect(all(ids), "texts of one token or more", "an empty one", of="answers")
    return ids


def _require_pairs(clean: Prompts, triggered: Prompts) -> None:
    counts = f"{len(clean)} and {len(triggered)} prompts"
    expect(len(clean) == len(triggered), "as many", counts, of="pairs")
    for i, (a, b) in enumerate(zip(clean, triggered, strict=True)):
        expect(
            len(a) == len(b),
            "prompts of equal length",
            f"{len(a)} and {len(b)} tokens",
            "replace the trigger by a word of as many tokens",
            of=f"pair {i}",
        )


def _read(prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
    """What is read to predict every token of the answer."""
    return [*prompt, *answer[:-1]]


def _at_once(answers: Prompts) -> int:
    """Rows of a chunk whose logits are held for as many columns as the longest answer has."""
    return min(_ROWS, max(1, _UNEMBEDDED // max(1, max(map(len, answers)))))
