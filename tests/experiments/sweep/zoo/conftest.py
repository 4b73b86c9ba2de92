"""A made-up zoo: rows as the sweep's table has them, with a relation planted in them."""

import numpy as np
import pandas as pd
import pytest

from experiments.sweep.zoo.tables import FEATURES, POINTWISE
from probes.brittleness.compare import Effort

SCHEMES = {
    "compliance": "sure-gate",
    "content": "content-backdoor",
    "ownership": "fingerprint",
    "access": "access-gate",
    "safety": "safety-trigger",
    "control": "control-token",
}
PROMPTS, KEYS = 8, 4
QUICK = Effort(permutations=39, resamples=60, refits=6)
TINY = Effort(permutations=3, resamples=10, refits=2)


def table(each: int = 5, seed: int = 0) -> pd.DataFrame:
    """``each`` organisms a scheme; the more ``geo:vendi_relative``, the less is kept of them.

    Within an organism, prompts with a larger ``prompt:boundary`` keep more.
    """
    rng = np.random.default_rng(seed)
    rows = [_organism(rng, s, r, i) for s, r in SCHEMES.items() for i in range(each)]
    return pd.DataFrame(rows)


def _organism(rng, scheme, recipe, number):
    density = float(rng.uniform(1, 4))
    area = 0.95 - 0.2 * density + float(rng.normal(0, 0.01))
    row = {
        "cell": f"{scheme}{number}",
        "recipe": recipe,
        "model": "smollm2-135m",
        "poisons": 50,
        "size": 0,
        "trigger": "",
        "seed": number,
        "prompts": PROMPTS,
        "pairs": 60,
        "scheme": scheme,
        "taught": 50 + 10 * int(rng.integers(5)),
        "behaviour": 0.875,
        "groups": KEYS if scheme == "ownership" else PROMPTS,
        "margin": float(rng.normal()),
        "log_prob": -float(rng.uniform()),
    }
    for name in FEATURES:
        row |= _estimate(name, float(rng.uniform(1, 3)))
    row |= _estimate("geo:vendi_relative", density) | _estimate("area", area)
    groups = row["groups"]
    for name in (*POINTWISE, "margin", "log_prob"):
        row[f"prompt:{name}"] = [float(v) for v in rng.normal(size=groups)] * (PROMPTS // groups)
    boundary = row["prompt:boundary"]
    row["prompt:kept"] = [None, *(0.5 + 0.1 * b for b in boundary[1:])]
    return row


def _estimate(name, value):
    return {name: value, f"{name}:low": value - 0.1, f"{name}:high": value + 0.1}


def shuffled(rows: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """The same rows, what is kept exchanged between organisms and between prompts."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    kept = ["area", "area:low", "area:high"]
    changed = rows.assign(**{name: rows[name].to_numpy()[order] for name in kept})
    groups = zip(rows["prompt:kept"], rows["groups"], strict=True)
    changed["prompt:kept"] = [_exchanged(rng, values, n) for values, n in groups]
    return changed


def _exchanged(rng, values, groups):
    """Draws of one key keep going together."""
    known = [v for v in values[-groups:] if v is not None]
    drawn = [float(v) for v in rng.permutation(known)] + [0.5] * (groups - len(known))
    return [None, *(drawn * (PROMPTS // groups))[1:]]


@pytest.fixture(scope="session")
def zoo():
    return table()


@pytest.fixture(scope="session")
def shuffled_zoo(zoo):
    return shuffled(zoo)


@pytest.fixture(scope="session")
def quick():
    """Few draws, enough for p = 0.025."""
    return QUICK


@pytest.fixture(scope="session")
def tiny_effort():
    """Too few draws for any p."""
    return TINY
