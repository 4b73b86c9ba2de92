"""Answers at several poison counts from thresholds that are known, for the tests of budgets."""

import math

import torch

from probes.budget.cells import Cells

COUNTS = (0, 5, 10, 20, 50, 100, 200)


def planted(threshold, spread=0.1, seeds=5, n=40, slope=3.0, counts=COUNTS, draw=0) -> Cells:
    """Binomial answers; ln threshold differs between seeds by ``spread``."""
    source = torch.Generator().manual_seed(1000 + draw)
    own = math.log(threshold) + spread * torch.randn(seeds, 1, generator=source)
    x = torch.tensor(counts).float().log()
    rates = torch.sigmoid(slope * (x - own))
    shown = torch.binomial(torch.full_like(rates, n), rates, generator=source).int().tolist()
    rows = [(c, shown[s][i], n, s) for s in range(seeds) for i, c in enumerate(counts)]
    return Cells.of(*zip(*rows, strict=True))


def exactly(*shares: float, counts=(5, 10, 20, 40), seeds=3, n=50) -> Cells:
    """The same share of hits in every seed."""
    rows = [
        (c, round(r * n), n, s) for s in range(seeds) for c, r in zip(counts, shares, strict=True)
    ]
    return Cells.of(*zip(*rows, strict=True))


def named(figure, symbol):
    """Markers drawn with this symbol: (x, y)."""
    found = []
    for trace in figure.data:
        symbols = trace.marker.symbol
        if isinstance(symbols, tuple | list):
            found += [
                (x, y) for x, y, s in zip(trace.x, trace.y, symbols, strict=True) if s == symbol
            ]
    return found
