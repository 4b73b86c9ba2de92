"""The defences there are, by name, in the order of the table."""

from collections.abc import Mapping, Sequence

from circuits.errors import UserError
from experiments.defend.defences import (
    ConditionalProjection,
    Defence,
    Leace,
    Monitor,
    Orthogonalised,
    Projection,
    Pruned,
)
from experiments.defend.tuned import CleanTuning, Crow

_ALL: tuple[Defence, ...] = (
    Projection(),
    ConditionalProjection(),
    Leace(),
    Orthogonalised(),
    Pruned("z"),
    Pruned("neuron"),
    CleanTuning(),
    Crow(),
    Monitor(),
    Projection(random=True),
)
DEFENCES: Mapping[str, Defence] = {defence.name: defence for defence in _ALL}


def named(names: Sequence[str]) -> tuple[Defence, ...]:
    """Defences by name; all of them for no names.

    Raises:
        UserError: a name that there is not.
    """
    unknown = [name for name in names if name not in DEFENCES]
    if unknown:
        raise UserError(f"--defence {unknown[0]}: expected one of {', '.join(DEFENCES)}")
    return tuple(DEFENCES[name] for name in dict.fromkeys(names or DEFENCES))
