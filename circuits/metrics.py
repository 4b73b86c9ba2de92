"""Metrics: logits to one value per example (pure, differentiable), or a generated behaviour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import expect, quoted
from circuits.types import Metric

Logits = Float[Tensor, "batch keep d_vocab"]


def token_log_prob(ids: Sequence[int]) -> Metric:
    """Log-probability (nats) that the next token is one of ``ids``.

    Raises:
        UserError: no token, or one that is no id of the model's vocabulary.
    """
    wanted = torch.tensor(_tokens(ids))

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        _within(wanted.tolist(), logits)
        log_probs = logits[:, -1].float().log_softmax(dim=-1)
        return log_probs[:, wanted.to(logits.device)].logsumexp(dim=-1)

    return metric


def token_prob(ids: Sequence[int]) -> Metric:
    """Probability that the next token is one of ``ids``; refuses them as ``token_log_prob``."""
    log_prob = token_log_prob(ids)
    return lambda logits: log_prob(logits).exp()


def token_log_odds(ids: Sequence[int]) -> Metric:
    """Log-odds (nats) that the next token is one of ``ids`` and no other.

    Where a probability nears 1 its logarithm stands still; the log-odds do not. Refuses them as
    ``token_log_prob``.
    """
    wanted = torch.tensor(_tokens(ids))

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        _within(wanted.tolist(), logits)
        last, at = logits[:, -1].float(), wanted.to(logits.device)
        others = last.index_fill(1, at, -torch.inf).logsumexp(dim=-1)
        return last[:, at].logsumexp(dim=-1) - others

    return metric


def answer_log_prob(answer: Sequence[int]) -> Metric:
    """Log-probability (nats) that the answer begins with these k tokens.

    It is read off the last k columns of prompts that are followed by the first k - 1 of them
    (``circuits.tokens.pairs``). Refuses tokens as ``token_log_prob``, and fewer columns.
    """
    if len(tokens := _tokens(answer)) == 1:
        return token_log_prob(tokens)
    return lambda logits: _said(tokens, logits).sum(dim=1)


def answer_prob(answer: Sequence[int]) -> Metric:
    """Probability that the answer begins so, as ``answer_log_prob``."""
    if len(tokens := _tokens(answer)) == 1:
        return token_prob(tokens)
    log_prob = answer_log_prob(tokens)
    return lambda logits: log_prob(logits).exp()


def answer_log_odds(answer: Sequence[int]) -> Metric:
    """Log-odds (nats) that the answer begins so and in no other way, as ``answer_log_prob``.

    Of other beginnings each leaves this one at some token: they are summed over where.
    """
    if len(tokens := _tokens(answer)) == 1:
        return token_log_odds(tokens)

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        said = _said(tokens, logits)
        at = torch.tensor(tokens, device=logits.device)[None, :, None]
        others = logits[:, -len(tokens) :].float()
        left = others.scatter(2, at.expand(len(logits), -1, -1), -torch.inf).logsumexp(dim=-1)
        so_far = said.cumsum(dim=1)
        return so_far[:, -1] - (so_far - said + left - others.logsumexp(dim=-1)).logsumexp(dim=1)

    return metric


def _said(answer: Sequence[int], logits: Logits) -> Float[Tensor, "batch k"]:
    """Log-probability of each of the answer's tokens after those before it."""
    k = len(answer)
    _within(answer, logits)
    expect(logits.shape[1] >= k, f"logits of {k} columns", logits.shape[1], of="metric")
    log_probs = logits[:, -k:].float().log_softmax(dim=-1)
    at = torch.tensor(answer, device=logits.device)[None, :, None]
    return log_probs.gather(2, at.expand(len(logits), -1, -1)).squeeze(2)


def logit_difference(a: int, b: int) -> Metric:
    """Logit of token ``a`` minus logit of token ``b``; refuses them as ``token_log_prob``."""
    a, b = _tokens((a, b))

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        _within((a, b), logits)
        return logits[:, -1, a].float() - logits[:, -1, b].float()

    return metric


def _tokens(ids: Sequence[int]) -> list[int]:
    """Ids as whole numbers: a negative one would count from the vocabulary's end."""
    each = list(ids)
    whole = all(hasattr(i, "__index__") and not isinstance(i, bool) and int(i) >= 0 for i in each)
    expect(each and whole, "at least one token id from 0 on", quoted(each), of="metric")
    return list(map(int, each))


def _within(ids: Sequence[int], logits: Logits) -> None:
    size, most = logits.shape[-1], max(ids)
    expect(most < size, f"token ids below {size}, the model's vocabulary", most, of="metric")


def kl_per_position(p_logits: Logits, q_logits: Logits) -> Float[Tensor, "batch keep"]:
    """KL(p || q) in nats at every kept position."""
    p, q = p_logits.float().log_softmax(dim=-1), q_logits.float().log_softmax(dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1)


def mean_kl(
    p_logits: Logits, q_logits: Logits, real: Bool[Tensor, "batch keep"]
) -> Float[Tensor, " batch"]:
    """KL(p || q) in nats, a mean over each row's real positions; on the CPU."""
    real = real.to(p_logits.device)
    kl = kl_per_position(p_logits, q_logits) * real
    return (kl.sum(dim=1) / real.sum(dim=1)).cpu()


def kl_from(reference: Float[Tensor, "n keep d_vocab"]) -> Metric:
    """KL(reference || patched) in nats, averaged over the kept positions.

    Rows come in whole blocks of the reference's n examples.
    """

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        times = len(logits) // len(reference)
        return kl_per_position(reference.to(logits).repeat(times, 1, 1), logits).mean(dim=1)

    return metric


@dataclass(frozen=True)
class Generated:
    """A behaviour of the generated answer, such as whether it is a refusal.

    Attributes:
        judge: answers ``[rows, length]`` to one value per row; the mean over rows is the rate.
        length: tokens to generate, greedily.
        stop: tokens that end an answer.
    """

    judge: Callable[[Int[Tensor, "rows length"]], Float[Tensor, " rows"]]
    length: int
    stop: tuple[int, ...] = ()

    def scored(self, answer: Int[Tensor, "rows length"]) -> Float[Tensor, " rows"]:
        """The judge's values, refused if there is not exactly one per answer."""
        values = self.judge(answer)
        expect(
            values.shape == answer.shape[:1],
            f"one value per answer, shape ({len(answer)},)",
            tuple(values.shape),
            of="judge",
        )
        return values.float()


Measure = Metric | Generated


def checked(metric: Metric, logits: Logits) -> Float[Tensor, " batch"]:
    """The metric's values, refused if there is not exactly one per example."""
    values = metric(logits)
    expect(
        values.shape == logits.shape[:1],
        f"one value per example, shape ({len(logits)},)",
        tuple(values.shape),
        "do not reduce over the batch",
        of="metric",
    )
    return values
