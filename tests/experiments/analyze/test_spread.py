"""Where a subspace is looked for: what the trigger adds in the model and not in its base."""

import torch

from circuits.types import Site
from experiments.analyze.spread import learned

SITE = Site(1, "resid_pre", "trigger")


def test_what_the_base_has_as_well_is_not_learned():
    shift = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    base = shift.clone()
    base[1] += torch.eye(16)[3] * torch.arange(1.0, 7.0)[:, None]
    sites = [SITE, Site(1, "resid_pre", "last")]
    (only,) = learned(sites, shift, base)
    assert only.site.span == "last"
    assert abs(float(only.basis[0, 3])) > 0.999
    assert not only.varies
    assert learned([Site(1, "resid_pre", "template")] * 2, shift, base) == []


def test_a_coefficient_that_changes_its_sign_varies():
    shift = torch.zeros(1, 6, 16)
    signed = torch.eye(16)[3] * torch.tensor([1.0, -1, 1, -1, 1, -1])[:, None]
    (only,) = learned([SITE], shift + signed, shift)
    assert only.varies
