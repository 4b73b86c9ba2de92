"""How much of a behaviour is left after a perturbation: curves over doses, and their area.

Only prompts that show the behaviour unperturbed count. At every dose, the share of them that still
show it is a point of its family's curve. The area of a family with an order is the trapezoid over
its levels, linear in the level as given, from 1 at level 0 to its strongest one, over that level;
doses of one level are averaged. The area of a family without an order is the mean of its doses. So
an area of 1 is a behaviour that nothing removes, and the mean of the families' areas, which weighs
families and not doses alike, is the one figure.

Areas are means over prompts, or over whole groups of them, and have the intervals of
`probes.stats.means`, cut to 0 and 1. Where all prompts answer alike that has no width, and the
interval is Wilson's, which is conservative for a mean of values between 0 and 1. Shares are
`probes.stats.intervals.rate`, over groups as well; where every group answers alike, Wilson's of as
many trials as there are groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.stats.intervals import MEANS, Estimate, rate, share_interval
from probes.stats.means import mean_bounds

_FEWEST = 4


@dataclass(frozen=True)
class Dose:
    """One perturbation of the battery.

    Attributes:
        family: what kind it is; a family's doses make one curve.
        level: how strong, in the family's own unit (``unit``); above 0, which is "unchanged". In a
            family without an order it is 1, 2, 3, ...
        about: the perturbation in a few words.
        unit: of the level, such as "edits" or "examples"; "" for a family without an order.
    """

    family: str
    level: float
    about: str
    unit: str = ""


@dataclass(frozen=True)
class Kept:
    """What one dose leaves.

    Attributes:
        rate: share of the prompts with the behaviour unperturbed that still have it.
    """

    dose: Dose
    rate: Estimate


@dataclass(frozen=True)
class Retention:
    """What a battery of doses leaves of a behaviour.

    Attributes:
        baseline: share of the prompts that show the behaviour unperturbed.
        kept: one per dose, in the order given.
        families: name to the area under the family's curve, 0 to 1.
        area: mean of the families' areas.
        prompts: mean over families of each prompt's own area; None where the behaviour was not
            there unperturbed.

    ``n`` of an estimate is its number of groups; without groups, of prompts.
    """

    baseline: Estimate
    kept: tuple[Kept, ...]
    families: Mapping[str, Estimate]
    area: Estimate
    prompts: tuple[float | None, ...]


def retention(
    doses: Sequence[Dose],
    shown: Bool[Tensor, "doses n"],
    baseline: Bool[Tensor, "n"],
    groups: Int[Tensor, "n"] | None = None,
) -> Retention:
    """Curves over doses and their areas.

    Args:
        shown: whether each prompt shows the behaviour under each dose.
        baseline: whether it does unperturbed.
        groups: prompts that belong together, such as those of one key.

    Raises:
        UserError: shapes that do not fit, a level that is not above 0, a family with two units,
            or fewer than 4 prompts (or 2 groups) that show the behaviour unperturbed.
    """
    _check(doses, shown, baseline, groups)
    every = torch.arange(len(baseline)) if groups is None else groups.unique(return_inverse=True)[1]
    member = every[baseline].unique(return_inverse=True)[1]
    known = len(member.unique())
    expect(
        len(member) >= _FEWEST and known >= 2,
        f"{_FEWEST} or more prompts of 2 or more groups that show the behaviour unperturbed",
        f"{len(member)} of {len(baseline)}, in {known} groups",
        "add prompts",
        "retention",
    )
    left = shown[:, baseline].to(torch.float64)
    by_family = {
        family: _areas(doses, left, family)
        for family in dict.fromkeys(dose.family for dose in doses)
    }
    areas = torch.stack(list(by_family.values()))
    mean_area = areas.mean(0)
    estimates = _intervals(torch.cat([areas, mean_area[None]]), member)
    by_prompt = dict(zip(baseline.nonzero().flatten().tolist(), mean_area.tolist(), strict=True))
    return Retention(
        baseline=_share(baseline, every),
        kept=tuple(
            Kept(dose, _share(row, member))
            for dose, row in zip(doses, shown[:, baseline], strict=True)
        ),
        families=dict(zip(by_family, estimates[:-1], strict=True)),
        area=estimates[-1],
        prompts=tuple(by_prompt.get(prompt) for prompt in range(len(baseline))),
    )


def _share(shown: Bool[Tensor, "m"], member: Int[Tensor, "m"]) -> Estimate:
    """A share over groups; where each answers alike, as one key asked again, each is one trial."""
    first = torch.zeros(int(member.max()) + 1, dtype=torch.bool)
    first[member] = shown
    if torch.equal(first[member], shown):
        return share_interval(shown.to(torch.float64).mean(), len(first))
    return rate(shown.tolist(), member.tolist())


def _areas(
    doses: Sequence[Dose], left: Float[Tensor, "doses m"], family: str
) -> Float[Tensor, "m"]:
    """Every prompt's own area under one family's curve."""
    chosen = [i for i, dose in enumerate(doses) if dose.family == family]
    rows = left[chosen]
    if not doses[chosen[0]].unit:
        return rows.mean(0)
    levels = torch.tensor([doses[i].level for i in chosen], dtype=torch.float64)
    steps, place = levels.unique(return_inverse=True)
    means = torch.stack([rows[place == at].mean(0) for at in range(len(steps))])
    curve = torch.cat([torch.ones_like(means[:1]), means])
    x = torch.cat([torch.zeros_like(steps[:1]), steps])
    return torch.trapezoid(curve, x, dim=0) / steps[-1]


def _intervals(values: Float[Tensor, "cells m"], member: Int[Tensor, "m"]) -> list[Estimate]:
    """Mean over prompts of every row, over whole groups."""
    units = int(member.max()) + 1
    parts = (part.tolist() for part in (values.mean(1), *mean_bounds(values, groups=member)))
    return [
        share_interval(torch.tensor(value, dtype=torch.float64).clamp(0, 1), units)
        if high - low < 1e-12
        else Estimate(value, max(low, 0.0), min(high, 1.0), units, method=MEANS)
        for value, low, high in zip(*parts, strict=True)
    ]


def _check(
    doses: Sequence[Dose],
    shown: Bool[Tensor, "doses n"],
    baseline: Bool[Tensor, "n"],
    groups: Int[Tensor, "n"] | None,
) -> None:
    n = len(baseline)
    expect(
        shown.shape == (len(doses), n) and doses and baseline.shape == (n,),
        f"shown [{len(doses)} doses, n] and baseline [n]",
        f"{tuple(shown.shape)} and {tuple(baseline.shape)}",
        "give one answer per dose and prompt",
        "retention",
    )
    expect(
        groups is None or groups.shape == (n,),
        f"one group for each of {n} prompts",
        groups is not None and tuple(groups.shape),
        "number the prompts' keys",
        "retention",
    )
    units: dict[str, str] = {}
    for dose in doses:
        expect(
            0 < dose.level < float("inf"),
            "a level above 0",
            dose.level,
            "level 0 is the unperturbed behaviour",
            dose.family,
        )
        expect(
            units.setdefault(dose.family, dose.unit) == dose.unit,
            "one unit",
            f"{units[dose.family]!r} and {dose.unit!r}",
            "make two families of it",
            dose.family,
        )
