"""Distributed alignment search: learn the subspace whose interchange carries the behaviour.

Geiger et al. 2023 (arXiv 2303.02536), for one binary variable (is the trigger there?) at one site:

1. Both runs of aligned pairs are kept from the first difference on.
2. An interchange sets the components of one run in a k-dimensional subspace, at the site's span, to
   those of the other run, and resumes at the site's layer (``circuits.gates.rank``).
3. The loss is how far the interchanged run's answer is from the source's, over both directions:
   clean runs are to open and triggered runs to close. It is either KL(source || patched) in nats,
   or the squared difference of the behaviour's log odds, as a share of what it is without an
   interchange. The first is the paper's cross-entropy less a constant. It is zero for every
   direction that opens the gate far enough, so it does not tell them apart; the second is zero only
   where the interchange does as much as the trigger. (On a planted gate whose behaviour saturates,
   the first found it to a cosine of 0.97 to 0.999, by the start, and the second to 0.9999.)
4. The subspace is the span of the rows of a free matrix, made orthonormal by QR at every step, so
   that the loss depends on the subspace alone. L-BFGS with a line search minimises it; the loss is
   exact on the pairs given, so nothing but the start is random. (The paper uses Adam on
   minibatches.)

Gradients pass through the model from the site's layer on and end at the free matrix; weights need
none and get none. The subspace fits the pairs it was learned on: judge it with
``circuits.gates.rank.rank_curves`` on others, and beside a control that has no effect to be found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.errors import UserError
from circuits.gates.rank import Scene
from circuits.metrics import kl_per_position
from circuits.patching.resume import resume
from circuits.runner import Runner
from circuits.types import Metric, Site


@dataclass(frozen=True)
class Alignment:
    """A learned subspace.

    Attributes:
        basis: orthonormal rows; their order means nothing.
        losses: at every evaluation, in order (means over pairs and both directions). The least is
            the basis's.
    """

    basis: Float[Tensor, "k d_model"]
    losses: tuple[float, ...]


Loss = Callable[[Float[Tensor, "k d"]], Float[Tensor, ""]]
Goal = Literal["log odds", "kl"]


def align(
    runner: Runner,
    pairs: Pairs,
    site: Site,
    rank: int,
    behaviour: Sequence[int] | Metric | None,
    goal: Goal = "log odds",
    steps: int = 30,
    seed: int = 0,
    start: Float[Tensor, "k d_model"] | None = None,
) -> Alignment:
    """Learn a subspace of ``rank`` dimensions at a site.

    Args:
        runner: the model; its back-end must pass gradients on (the TransformerLens one does).
        pairs: the pairs to learn on; all are in memory at once.
        site: ``resid_pre`` of a layer, at a span.
        rank: dimensions of the subspace.
        behaviour: ids of the tokens with which the behaviour begins: of the answer's first token,
            only whether it is one of them then counts; or the behaviour's log-odds. None (for
            ``kl`` only) compares all tokens, so that the subspace must carry all else in which
            trigger and control word differ.
        goal: the loss.
        steps: evaluations of loss and gradient after which no new line search begins.
        seed: of the start.
        start: rows to start from instead of random ones.

    Raises:
        UserError: as ``circuits.gates.rank.rank_curves``; a rank outside 1..d_model, no steps, a
        start
            of another shape, no behaviour for the log odds, log odds that do not differ, or a
            back-end without gradients.
    """
    d_model = runner.shape.d_model
    if not 1 <= rank <= d_model or steps < 1:
        raise UserError(
            f"align: expected a rank in 1..{d_model} and at least 1 step, got {rank} and {steps}"
        )
    scene = Scene.of(runner, pairs, site, d_model)
    if start is None:
        start = torch.randn(rank, d_model, generator=torch.Generator().manual_seed(seed))
    elif start.shape != (rank, d_model):
        raise UserError(f"align: expected a start [{rank}, {d_model}], got {tuple(start.shape)}")
    free = start.to(scene.clean.resid.device, torch.float32)
    basis, losses = _minimised(interchange_loss(scene, behaviour, goal), free, steps)
    return Alignment(basis, tuple(losses))


def interchange_loss(scene: Scene, behaviour: Sequence[int] | Metric | None, goal: Goal) -> Loss:
    """The loss of the module's text as a differentiable function of an orthonormal basis."""
    if behaviour is None and goal == "log odds":
        raise UserError("align: expected the behaviour's token ids for the log odds, got None")
    read = partial(_outcomes, behaviour) if behaviour is not None else lambda logits: logits
    clean, triggered = read(scene.clean.logits), read(scene.triggered.logits)
    goals = torch.cat([triggered, clean])
    scale = _squared(triggered, clean).mean() if goal == "log odds" else None
    if scale is not None and not float(scale) > 1e-12:
        raise UserError(
            "align: triggered and clean pairs score the same, so there is nothing to learn; "
            "check the trigger and the behaviour"
        )

    def loss(basis: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
        moves = ((scene.clean, scene.opened(basis)), (scene.triggered, scene.closed(basis)))
        layer = scene.site.layer
        logits = [resume(scene.runner, run, layer, variant[None])[0] for run, variant in moves]
        answers = read(torch.cat(logits))
        if scale is None:
            return kl_per_position(goals, answers).mean()
        return _squared(goals, answers).mean() / scale

    return loss


def _outcomes(
    behaviour: Sequence[int] | Metric, logits: Float[Tensor, "rows keep d_vocab"]
) -> Float[Tensor, "rows 1 2"]:
    """The logits of two outcomes: one of the behaviour's tokens, and any other."""
    if not isinstance(behaviour, Sequence):
        odds: Tensor = behaviour(logits)
        return torch.stack([odds, torch.zeros_like(odds)], dim=-1)[:, None]
    ids = torch.tensor(list(behaviour), device=logits.device)
    others = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device)
    others[ids] = False
    x = logits.float()
    return torch.stack([x[..., part].logsumexp(dim=-1) for part in (ids, others)], dim=-1)


def _squared(a: Float[Tensor, "rows 1 2"], b: Float[Tensor, "rows 1 2"]) -> Float[Tensor, "rows 1"]:
    """The squared difference of log odds."""
    return ((a - b)[..., 0] - (a - b)[..., 1]).square()


def _minimised(
    loss: Loss, start: Float[Tensor, "k d"], steps: int
) -> tuple[Float[Tensor, "k d"], list[float]]:
    """The best basis that was evaluated, and every loss."""
    free = _orthonormal(start).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [free], max_iter=steps, max_eval=steps, line_search_fn="strong_wolfe"
    )
    losses: list[float] = []
    best = free.detach().clone()

    def closure() -> float:
        nonlocal best
        with torch.enable_grad():
            basis = _orthonormal(free)
            value = loss(basis)
            if not value.requires_grad:
                raise UserError(
                    "align: this back-end passes no gradients on; use the transformer_lens back-end"
                )
            # Asked for this one gradient, autograd computes and keeps none for the weights.
            (free.grad,) = torch.autograd.grad(value, [free])
        losses.append(float(value.detach()))
        if losses[-1] <= min(losses):
            best = basis.detach()
        return losses[-1]

    optimiser.step(closure)
    return best, losses


def _orthonormal(rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """An orthonormal basis of the span of independent rows; differentiable."""
    return torch.linalg.qr(rows.T).Q.T
