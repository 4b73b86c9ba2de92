"""Where a subspace is looked for: what the trigger adds in the model and not in its base."""

import torch

from circuits.types import Site
from experiments.analyze.spread import shifted

SITE = Site(1, "resid_pre", "trigger")


def test_what_the_base_has_as_well_is_not_learned():
    shift = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    base = shift.clone()
    base[1] += torch.eye(16)[3] * torch.arange(1.0, 7.0)[:, None]
    sites = [SITE, Site(1, "resid_pre", "last")]
    spans = ("trigger", "last")
    (only,) = shifted(sites, shift, shift - base, spans)
    assert only.site.span == "last"
    assert abs(float(only.basis[0, 3])) > 0.999
    assert shifted([Site(1, "resid_pre", "template")] * 2, shift, shift - base, spans) == []
    assert [each.site.span for each in shifted(sites, shift, shift, spans)] == list(spans)
