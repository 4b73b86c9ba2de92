"""The defences there are, by name, in the order of the table."""

from collections.abc import Mapping, Sequence
from functools import partial

from circuits.errors import UserError
from experiments.defend import defences
from experiments.defend.consistency import Consistency
from experiments.defend.defences import Defence

_CLEAN = f"on {defences.EXAMPLES} clean examples, {defences.EPOCHS} epochs"
_ALL = (
    Defence(
        "projection",
        "the gate projected out at one layer, from the user's message on",
        defences.projection,
    ),
    Defence(
        "conditional-projection",
        "the gate set to its clean mean in tokens that read above a threshold on it",
        defences.conditional_projection,
    ),
    Defence(
        "leace",
        "affine erasure (LEACE) at the gate's layer, from the user's message on",
        defences.leace,
    ),
    Defence(
        "orthogonalised",
        "every matrix that writes into the stream projected off the gate",
        defences.orthogonal_weights,
    ),
    Defence(
        "pruned-heads",
        "heads with the largest patching effects cut off",
        partial(defences.pruned, stream="z"),
    ),
    Defence(
        "pruned-neurons",
        "MLP neurons with the largest patching effects cut off",
        partial(defences.pruned, stream="neuron"),
    ),
    Defence("clean-tuning", f"fine-tuned {_CLEAN}", defences.fine_tuned),
    Defence(
        "crow",
        f"layer-consistency fine-tuning (CROW) {_CLEAN}",
        partial(defences.fine_tuned, penalty=Consistency()),
    ),
    Defence(
        "monitor",
        "prompts that read above a threshold on the gate are refused",
        defences.watched,
    ),
    Defence(
        "random-projection",
        "a random direction (the null) projected out at one layer, from the user's message on",
        defences.random_projection,
    ),
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
