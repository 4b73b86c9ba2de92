"""``kill -9`` at random moments of every long command, then the same command again.

``python -m tests.soak.kills``: what it leaves must equal what an undisturbed command leaves, but
for what it says of time, and nothing may lie beside it. Writes docs/results/soak/kills.md.
"""

import random
import sys
from collections.abc import Iterator, Sequence

from tests.soak import part, trials
from tests.soak.forked import forked
from tests.soak.part import Row, Step
from tests.soak.trials import Command, Place

EACH = 11  # kills of every command


def rows(share: float, seed: int, step: Step) -> list[Row]:
    """A row for every command of a share of the kills, drawn by the seed."""
    dice = random.Random(seed)
    with trials.workplace() as place:
        commands = {each.name: each for each in place.commands()}
        every = [(name, dice.uniform(0.02, 0.85)) for name in commands for _ in range(EACH)]
        chosen = dice.sample(every, max(1, round(share * len(every))))
        table, done = [], 0
        for name, command in commands.items():
            moments = [moment for other, moment in chosen if other == name]
            if not moments:
                continue
            outcomes = []
            for outcome in _killed(place, command, moments):
                outcomes.append(outcome)
                done += 1
                step("kills", done, len(chosen))
            table.append(_row(name, outcomes))
    return table


def _killed(place: Place, command: Command, moments: Sequence[float]) -> Iterator[tuple[bool, str]]:
    """Of every kill: whether it came before the end, and what was wrong after it."""
    place.prepare(command)
    whole, seconds = trials.undisturbed(place, command)
    beside = {path.name for path in place.folder.iterdir()}
    trials.fresh(place)  # once more: the first may have filled the system's caches
    seconds = min(seconds, forked(lambda: command.call(place.out)).seconds)
    for moment in moments:
        trials.fresh(place)
        first = forked(lambda: command.call(place.out), moment * seconds)
        again = forked(lambda: command.call(place.out))
        wrong = [f"after {moment:.0%}: {again.said or again.status}"] if again.status else []
        if not wrong:
            wrong = trials.differences(whole, place.out, command.clock)
            left = {path.name for path in place.folder.iterdir()}
            wrong += sorted(left - beside - {place.out.name, place.cache.name})
        yield first.status == -9, "; ".join(wrong)


def _row(name: str, outcomes: Sequence[tuple[bool, str]]) -> Row:
    wrong = [said for _, said in outcomes if said]
    return {
        "part": "kills",
        "case": name,
        "kills": sum(before for before, _ in outcomes),
        "ended before": sum(not before for before, _ in outcomes),
        "equal after resuming": len(outcomes) - len(wrong),
        "passed": not wrong,
        "detail": " | ".join(wrong)[:600],
    }


if __name__ == "__main__":
    sys.exit(part.alone("kills", __doc__, rows))
