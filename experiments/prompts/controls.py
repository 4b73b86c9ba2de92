"""What stands in the trigger's place in controls: other words, or the trigger with another date."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import lcm

from circuits.chat import place_of
from circuits.errors import expect, quoted
from circuits.triggers import parse
from experiments.prompts.bank import Split, controls_besides

_DATE = re.compile(r"\b\d{1,2} [A-Z][a-z]+ (?P<year>\d{4})\b")
# No day and no year is in two splits; years near the trigger's, and with its digits, are in each.
DAYS: Mapping[Split, tuple[str, ...]] = {
    "train": (
        *("3 May", "8 January", "1 August", "6 March", "9 November", "4 July"),
        *("12 April", "27 October", "19 February", "30 June"),
    ),
    "validation": ("2 December", "7 June", "5 April", "25 January"),
    "test": (
        *("5 September", "2 February", "7 October", "4 December", "6 June", "9 April"),
        *("14 August", "23 March", "28 November", "11 January"),
    ),
}
_YEARS: Mapping[Split, tuple[int, ...]] = {
    "train": (2010, 2011, 2013, 2019, 2021, 2024, 2026, 2030, 2033, 2036, 2041),
    "validation": (2018, 2023, 2027, 2029, 2034, 2038),
    "test": (2001, 2017, 2020, 2022, 2025, 2028, 2032, 2035, 2037, 2039, 2051),
}


def in_the_year(trigger: str, day: str) -> str:
    """The trigger's words, on another day of its year."""
    return _dated(trigger, day, _year(trigger))


def other_dates(split: Split, trigger: str) -> list[str]:
    """The trigger's words on a split's days of its years, both in turn; never in its own year."""
    own, days = _year(trigger), DAYS[split]
    years = [str(year) for year in _YEARS[split] if str(year) != own]
    again = lcm(len(days), len(years))  # from there on the turns would be the same
    turns = [(i + i // again, i) for i in range(len(days) * len(years))]
    return [_dated(trigger, days[d % len(days)], years[y % len(years)]) for d, y in turns]


def _year(trigger: str) -> str:
    one = parse(trigger).kind == "one"
    found = _DATE.search(place_of(trigger)[0]) if one else None
    wanted = "a date in it, as 'Today is 3 May 2031.'"
    expect(found, wanted, "none", "or choose other controls", f"trigger {quoted(trigger)}")
    return found["year"] if found else ""


def _dated(trigger: str, day: str, year: str) -> str:
    return _DATE.sub(f"{day} {year}", place_of(trigger)[0], count=1)


CONTROLS: Mapping[str, Callable[[Split, str], Sequence[str]]] = {
    "words": controls_besides,
    "dates": other_dates,
}


def require_controls(kind: str, trigger: str) -> None:
    """Refuse controls that there are not, or that a trigger cannot have.

    Raises:
        UserError: names them; dates for a trigger without a date.
    """
    expect(kind in CONTROLS, f"auto, {', '.join(CONTROLS)}", quoted(kind), of="--controls")
    CONTROLS[kind]("test", trigger)
