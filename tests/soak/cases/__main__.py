"""Run cases by number, all by default: ``python -m tests.soak.cases [NUMBER ...]``.

All of them write docs/results/soak/cases.md; the status is 1 where one is not right.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # as the tests find tiny and tinygate

from tests.soak.cases.table import CASES, PAGE, outcomes, page
from tests.soak.part import progress, write


def main() -> int:
    """Runs what is asked for by number (all by default); says what is not right."""
    numbers = set(map(int, sys.argv[1:]))
    chosen = [case for case in CASES if not numbers or case.number in numbers]
    every = outcomes(chosen, progress())
    for row in every:
        print(f"{row['outcome']:>22}  {row['case']:>2} {row['what']}: {row['said'][:200]!a}")
    if not numbers:
        write(PAGE, page(every))
    return int(any(row["outcome"] != "right" for row in every))


if __name__ == "__main__":
    sys.exit(main())
