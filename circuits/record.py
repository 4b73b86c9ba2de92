"""Record activations at named spans: one pass, many sites."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.patching.engine import Progress
from circuits.runner import Runner, Window
from circuits.types import Site, TokenBatch

_ROWS = 32


@torch.no_grad()
def record(
    runner: Runner,
    tokens: TokenBatch,
    sites: Sequence[Site],
    progress: Progress = lambda done, total: None,
) -> Float[Tensor, "sites n d_model"]:
    """Activations at the last token of each site's span, on the CPU in fp32.

    Raises:
        UserError: a span is not in the batch, or the model lacks a stream.
    """
    points = sorted({site.point for site in sites})
    columns = {span: tokens.span_column(span) for span in {site.span for site in sites}}
    parts = []
    for start in range(0, len(tokens), _ROWS):
        rows = torch.arange(start, min(start + _ROWS, len(tokens)))
        out = runner.forward(Window(tokens.ids[rows], tokens.mask[rows]), record=points, keep=1)
        here = torch.arange(len(rows))
        parts.append(
            torch.stack(
                [out.acts[s.point][here, columns[s.span][rows]].float().cpu() for s in sites]
            )
        )
        progress(int(rows[-1]) + 1, len(tokens))
    return torch.cat(parts, dim=1)
