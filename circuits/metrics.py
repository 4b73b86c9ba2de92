"""Metrics: last logits to one value per example. All are pure and differentiable."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.types import Metric

Logits = Float[Tensor, "batch keep d_vocab"]


def token_log_prob(ids: Sequence[int]) -> Metric:
    """Log-probability (nats) that the next token is one of ``ids``."""
    wanted = torch.tensor(list(ids))

    def metric(logits: Logits) -> Float[Tensor, " batch"]:
        log_probs = logits[:, -1].float().log_softmax(dim=-1)
        return log_probs[:, wanted.to(logits.device)].logsumexp(dim=-1)

    return metric


def token_prob(ids: Sequence[int]) -> Metric:
    """Probability that the next token is one of ``ids``."""
    log_prob = token_log_prob(ids)
    return lambda logits: log_prob(logits).exp()


def logit_difference(a: int, b: int) -> Metric:
    """Logit of token ``a`` minus logit of token ``b``."""
    return lambda logits: logits[:, -1, a].float() - logits[:, -1, b].float()


def kl_per_position(p_logits: Logits, q_logits: Logits) -> Float[Tensor, "batch keep"]:
    """KL(p || q) in nats at every kept position."""
    p, q = p_logits.float().log_softmax(dim=-1), q_logits.float().log_softmax(dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1)


def checked(metric: Metric, logits: Logits) -> Float[Tensor, " batch"]:
    """The metric's values, refused if there is not exactly one per example."""
    values = metric(logits)
    if values.shape != logits.shape[:1]:
        raise UserError(
            f"metric: expected one value per example, shape ({logits.shape[0]},), got "
            f"{tuple(values.shape)}; do not reduce over the batch"
        )
    return values
