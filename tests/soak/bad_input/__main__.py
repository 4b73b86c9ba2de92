"""Run it: ``python -m tests.soak.bad_input [--share S] [--seed N] [--json FILE] [WORD ...]``.

A word is an area or a part of a case's name. All cases together write
docs/results/soak/bad-input.md; the status is 1 where one is not right.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tests.soak.part import ONE_THREAD, progress, sampled, write

os.environ.update(ONE_THREAD)
sys.path.insert(0, str(Path(__file__).parents[2]))  # as the tests find tiny and tinygate

from tests.soak.bad_input import table


def main() -> int:
    """Runs what is asked; says what is not right."""
    ask = argparse.ArgumentParser(prog="python -m tests.soak.bad_input")
    ask.add_argument("words", nargs="*")
    ask.add_argument("--share", type=float, default=1.0)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--json", type=Path)
    asked = ask.parse_args()
    table.ready()
    every = sampled(table.cases(), asked.share, asked.seed)
    words = asked.words
    chosen = [c for c in every if not words or any(w == c.area or w in c.name for w in words)]
    ended = table.outcomes(chosen, progress())
    wrong = [each for each in ended if each.what != "right"]
    for each in wrong:
        print(f"{each.area}: {each.name}: {each.what} ({each.status}): {each.said[:300]!a}")
    print(f"{len(ended) - len(wrong)} of {len(ended)} right")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in ended]))
    elif len(chosen) == len(table.cases()):
        write(table.PAGE, table.page(ended))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
