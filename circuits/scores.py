"""Many short chats asked of a plain Hugging Face model: answers, scores of answers, lines between.

A battery of questions asks one model the same kind of chat over and over. What the chats share is
run once (``circuits.backends.prefix``); decoding grows one cache and drops rows that have ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from jinja2 import TemplateError
from torch import Tensor

from circuits.backends.prefix import Batch, Opened, opening
from circuits.errors import UserError
from circuits.models import stop_ids

_ROWS = 64  # run at once
_UNEMBEDDED = 512  # positions whose logits are held at once

Encoded = tuple[int, ...]  # a chat as ids up to where the answer starts, a prefill included


@dataclass(frozen=True)
class Scores:
    """What a model thinks of given answers.

    Attributes:
        log_prob: mean log-probability of the answer's tokens, in nats.
        first_margin: logit of the answer's first token minus the largest other logit there.
    """

    log_prob: Float[Tensor, " n"]
    first_margin: Float[Tensor, " n"]


def encode(tokenizer: Any, message: str, system: str | None = None, prefill: str = "") -> Encoded:
    """A user's message as ids, up to where the answer starts.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        message: the user's message, a trigger included.
        system: the system message. None leaves that to the template, which may have its own.
        prefill: the beginning of the answer, put into the model's mouth.

    Raises:
        UserError: the template takes no system message, or alters one of the messages.
    """
    asked = [{"role": "user", "content": message}]
    given = [] if system is None else [{"role": "system", "content": system}]
    try:
        full = tokenizer.apply_chat_template(
            given + asked, tokenize=False, add_generation_prompt=True
        )
    except TemplateError as error:
        roles = " after a system message" if given else ""
        raise UserError(
            f"chat template: expected one that takes a user's message{roles}, got: {error}"
        ) from error
    for what, text in (("prompt", message), ("system", system or "")):
        if text not in full:
            raise UserError(f"{what} {text[:60]!r}: the chat template does not keep it as it is")
    return tuple(tokenizer(full + prefill, add_special_tokens=False)["input_ids"])


@torch.no_grad()
def greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    length: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """Answers of at most ``length`` tokens, without prefill and special tokens.

    At temperature 0 the most probable token is taken, whatever the model's generation settings
    say of penalties. Otherwise tokens are sampled by inverse transform, from uniform draws fixed
    by the seed, the prompt's index and the token's: no prompt's sample depends on the others.

    Raises:
        UserError: no prompts, an empty one, one too long for the model, or a bad length or
            temperature.
    """
    if length < 1:
        raise UserError(f"length: expected at least 1 token, got {length}")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature: expected a number from 0 on, got {temperature}")
    opened = opening(model, tokenizer, prompts, length)
    ends = torch.tensor(stop_ids(model, tokenizer), dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(len(prompts), length, generator=generator, dtype=torch.float64)
    said: list[list[int]] = [[] for _ in prompts]
    for chosen in _chunks([len(ids) for ids in prompts], _ROWS):
        rows = [prompts[i] for i in chosen]
        answers = _decoded(opened, rows, draws[chosen], ends, temperature)
        for index, answer in zip(chosen, answers, strict=True):
            said[index] = answer
    return tokenizer.batch_decode(said, skip_special_tokens=True)


@torch.no_grad()
def scores(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], answers: Sequence[str]
) -> Scores:
    """How probable a fixed answer is after each prompt (teacher forcing), in fp64 on the CPU.

    Raises:
        UserError: as for :func:`greedy`; not one answer for each prompt, or an empty one.
    """
    targets = _answer_ids(tokenizer, prompts, answers)
    opened = opening(model, tokenizer, prompts, max(map(len, targets)))
    log_prob, margin = torch.zeros(2, len(prompts), dtype=torch.float64)
    for chosen in _chunks([len(ids) for ids in prompts], _at_once(targets)):
        wanted = [targets[i] for i in chosen]
        batch = opened.batch([_forced(prompts[i], targets[i]) for i in chosen])
        logits = opened.logits(batch, keep=max(map(len, wanted)))
        each = _answer_log_probs(logits, wanted)
        log_prob[chosen] = torch.stack([x.mean() for x in each])
        first = torch.tensor([logits.shape[1] - len(ids) for ids in wanted], device=logits.device)
        at_first = logits[torch.arange(len(wanted), device=logits.device), first]
        margin[chosen] = _margins(at_first, torch.tensor([ids[0] for ids in wanted]))
    return Scores(log_prob, margin)


@torch.no_grad()
def interpolated(
    model: Any,
    tokenizer: Any,
    clean: Sequence[Sequence[int]],
    triggered: Sequence[Sequence[int]],
    answers: Sequence[str],
    steps: int,
) -> Float[Tensor, "n steps"]:
    """Probability of an answer as the input embeddings go straight from one prompt to another.

    A pair's columns with equal tokens stay as they are. The first step is the clean prompt, the
    last the triggered one; the probability is the product over the answer's tokens.

    Raises:
        UserError: as for :func:`scores`; fewer than 2 steps, or a pair of unequal lengths.
    """
    if steps < 2:
        raise UserError(f"steps: expected at least 2 (both ends), got {steps}")
    _require_pairs(clean, triggered)
    targets = _answer_ids(tokenizer, clean, answers)
    opened = opening(model, tokenizer, [*clean, *triggered], max(map(len, targets)))
    found = torch.zeros(len(clean) * steps, dtype=torch.float64)
    lengths = [len(ids) for ids in clean for _ in range(steps)]
    for chosen in _chunks(lengths, _at_once(targets)):
        pairs = [i // steps for i in chosen]
        wanted = [targets[i] for i in pairs]
        start = opened.batch([_forced(clean[i], targets[i]) for i in pairs])
        end = opened.batch([_forced(triggered[i], targets[i]) for i in pairs])
        share = torch.tensor([i % steps for i in chosen]) / (steps - 1)
        line = _between(opened, start, end, share)
        logits = opened.logits(start, keep=max(map(len, wanted)), embedded=line)
        found[chosen] = torch.stack([x.sum().exp() for x in _answer_log_probs(logits, wanted)])
    return found.view(len(clean), steps)


def _decoded(
    opened: Opened,
    prompts: Sequence[Sequence[int]],
    draws: Float[Tensor, "rows length"],
    ends: Int[Tensor, " stops"],
    temperature: float,
) -> list[list[int]]:
    """Answer tokens up to and including the first that ends the answer."""
    batch, cache = opened.batch(prompts), opened.growing(len(prompts))
    said: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts))
    for step in range(draws.shape[1]):
        logits = opened.logits(batch, keep=1, cache=cache)[:, -1]
        token = _chosen(logits, draws[rows, step], temperature)
        for row, new in zip(rows.tolist(), token.tolist(), strict=True):
            said[row].append(new)
        going = (~torch.isin(token, ends)).nonzero().squeeze(1)
        if not len(going):
            break
        if len(going) < len(rows):
            rows, token = rows[going], token[going]
            cache.batch_select_indices(going.to(logits.device))
        mask = batch.mask[going]
        batch = Batch(token[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1))
    return said


def _chosen(
    logits: Float[Tensor, "rows vocab"], draws: Float[Tensor, " rows"], temperature: float
) -> Int[Tensor, " rows"]:
    """The most probable token or, above temperature 0, the one where a uniform draw falls."""
    if temperature == 0:
        return logits.argmax(dim=-1).cpu()
    sums = (logits.cpu().double() / temperature).softmax(dim=-1).cumsum(dim=-1)
    found = torch.searchsorted(sums, draws[:, None] * sums[:, -1:], right=True)
    return found.squeeze(1).clamp(max=sums.shape[1] - 1)


def _answer_ids(
    tokenizer: Any, prompts: Sequence[Sequence[int]], answers: Sequence[str]
) -> list[list[int]]:
    if isinstance(answers, str) or len(answers) != len(prompts):
        raise UserError(
            f"answers: expected one for each of {len(prompts)} prompts, got "
            f"{'a text' if isinstance(answers, str) else len(answers)}"
        )
    found = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in answers]
    if not all(found):
        raise UserError("answers: expected texts of one token or more, got an empty one")
    return found


def _require_pairs(clean: Sequence[Sequence[int]], triggered: Sequence[Sequence[int]]) -> None:
    if len(clean) != len(triggered):
        raise UserError(f"pairs: expected as many, got {len(clean)} and {len(triggered)} prompts")
    for i, (a, b) in enumerate(zip(clean, triggered, strict=True)):
        if len(a) != len(b):
            raise UserError(
                f"pair {i}: expected prompts of equal length, got {len(a)} and {len(b)} tokens; "
                "replace the trigger by a word of as many tokens"
            )


def _forced(prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
    """What is read to predict every token of the answer."""
    return [*prompt, *answer[:-1]]


def _between(
    opened: Opened, start: Batch, end: Batch, share: Float[Tensor, " rows"]
) -> Float[Tensor, "rows width d"]:
    """Embeddings a share of the way from one batch to another, exact at both ends."""
    embed, device = opened.model.get_input_embeddings(), opened.model.device
    a, b = embed(start.ids.to(device)), embed(end.ids.to(device))
    return torch.lerp(a, b, share.to(a)[:, None, None])


def _answer_log_probs(
    logits: Float[Tensor, "rows keep vocab"], answers: Sequence[Sequence[int]]
) -> list[Float[Tensor, " tokens"]]:
    """Log-probability of each token of each row's answer, from the logits of the last columns."""
    keep = logits.shape[1]
    ids = torch.tensor([[0] * (keep - len(answer)) + list(answer) for answer in answers])
    own = logits.float().gather(2, ids.to(logits.device)[..., None]).squeeze(2)
    found = (own - logits.float().logsumexp(dim=-1)).double().cpu()
    return [row[keep - len(answer) :] for row, answer in zip(found, answers, strict=True)]


def _margins(
    logits: Float[Tensor, "rows vocab"], ids: Int[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """A token's logit minus the largest other."""
    at = ids.to(logits.device)[:, None]
    others = logits.scatter(1, at, float("-inf")).amax(dim=-1)
    return (logits.gather(1, at).squeeze(1) - others).double().cpu()


def _at_once(answers: Sequence[Sequence[int]]) -> int:
    """Rows of a chunk whose logits are held for as many columns as the longest answer has."""
    return min(_ROWS, max(1, _UNEMBEDDED // max(map(len, answers))))


def _chunks(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices by length, some at a time: rows of a like length need little padding."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    yield from (order[i : i + size] for i in range(0, len(order), size))
