"""Random activations with known class directions, for the tests of probes."""

import torch


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def alternating(n: int) -> torch.Tensor:
    return torch.arange(n) % 2 == 0


def planted(
    n: int, d: int, size: float = 2.0, sites: int = 3, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Isotropic unit noise, class means `size` apart along a known unit direction per site."""
    truth = torch.nn.functional.normalize(normal(sites, d, seed=seed + 1), dim=-1)
    labels = alternating(n)
    offset = torch.where(labels, size / 2, -size / 2)[:, None]
    return normal(sites, n, d, seed=seed) + offset * truth[:, None], labels, truth
