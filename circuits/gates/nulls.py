"""What any model has at a gate's site: what a claim that training made a gate there must beat.

- the behaviour's unembedding: the direction along which a residual raises the behaviour's token,
  whoever wrote it; late at the last token it looks like a gate;
- the word's own content: what the base model holds of the word at the site, token by token. Taken
  out of triggered prompts and put into those with control words, it is the word removed and put
  there, as far as training had no part in it.
"""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs, matched, moved
from circuits.errors import UserError
from circuits.gates.effects import Effects
from circuits.metrics import checked
from circuits.patching.resume import measure, require_site
from circuits.patching.suffix import SuffixRun, run_side
from circuits.runner import Runner, whole
from circuits.types import Edit, Metric, Point, Site, TokenBatch


def unembedding_direction(
    runner: Runner, tokens: TokenBatch, metric: Metric
) -> Float[Tensor, " d_model"]:
    """The unit direction in which the last residual raises the metric most, a mean over prompts.

    It is the gradient behind the last layer, so that the final norm's scales are in it; where
    several tokens of an answer are said, that of one residual at all of them.

    Raises:
        UserError: the back-end passes no gradients on, or the metric does not depend on it.
    """
    last, shape = Point(runner.shape.n_layers - 1, "resid_post"), runner.shape
    keep = tokens.keep
    nudge = torch.zeros(len(tokens), 1, shape.d_model, device=shape.device, requires_grad=True)

    def nudged(x: Tensor) -> Tensor:
        return torch.cat([x[:, :-keep], x[:, -keep:] + nudge.to(x)], dim=1)

    embedding = runner.hf_model.get_input_embeddings()
    embedded = embedding(tokens.ids.to(shape.device)).detach().requires_grad_()
    window = replace(whole(tokens), embedded=embedded)  # what asks a back-end for gradients
    with torch.enable_grad():
        logits = runner.forward(window, [Edit(last, nudged)], keep=keep).logits
        total = metric(logits).sum()
        if not total.requires_grad:
            raise UserError(
                "unembedding: expected a back-end that passes gradients on, got none; use "
                "TransformerLens"
            )
        (gradient,) = torch.autograd.grad(total, nudge)
    each = torch.nn.functional.normalize(gradient[:, 0].float().cpu(), dim=1)
    return torch.nn.functional.normalize(each.mean(dim=0), dim=0)


@torch.no_grad()
def respelled(runner: Runner, base: Runner, tokens: TokenBatch, span: str) -> bool:
    """Whether training changed how a span's tokens are embedded: by more than a thousandth."""
    ids = tokens.ids[tokens.spans[span]]
    ours, theirs = (
        each.hf_model.get_input_embeddings()(ids.to(each.shape.device)).float().cpu()
        for each in (runner, base)
    )
    return float((ours - theirs).norm()) > 1e-3 * float(theirs.norm())


@torch.no_grad()
def word_effects(runner: Runner, base: Runner, pairs: Pairs, site: Site, metric: Metric) -> Effects:
    """The metric with the base model's own content of the word taken out, and put in.

    At the site's span, prompt by prompt and token by token: triggered minus control residuals of
    the base model are subtracted from triggered prompts and added to those with control words.
    Tokens are matched from the span's end where the two have not as many (``align.matched``).

    Args:
        base: the model before training, in the same coordinates.

    Raises:
        UserError: another stream than ``resid_pre``, no such layer or span, or models of different
            widths.
    """
    require_site(site, runner.shape.n_layers, pairs.clean, pairs.triggered)
    if base.shape.d_model != runner.shape.d_model:
        raise UserError(
            f"word: expected a base model of width {runner.shape.d_model}, got {base.shape.d_model}"
        )
    ours, theirs = (
        [run_side(each, pairs, side, site.span) for side in ("triggered", "clean")]
        for each in (runner, base)
    )
    triggered, clean = ours
    there, away = theirs

    def scored(run: SuffixRun, own: SuffixRun, other: SuffixRun) -> Tensor:
        columns = matched(own.tokens, other.tokens, site.span)[:, own.first :] - other.first
        content = moved(other.resid[site.layer], columns) - own.resid[site.layer]
        here = own.tokens.spans[site.span][:, own.first :].to(content)
        shifted = run.resid[site.layer] + (content * rearrange(here, "n column -> n column 1")).to(
            run.resid
        )
        return measure(runner, run, site, 1, lambda _: shifted[None], metric)

    return Effects(
        scored(triggered, there, away),
        scored(clean, away, there),
        checked(metric, triggered.logits).cpu(),
        checked(metric, clean.logits).cpu(),
    )
