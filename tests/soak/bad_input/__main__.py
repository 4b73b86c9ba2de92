"""Run it: ``python -m tests.soak.bad_input [--share S] [--seed N] [--json FILE] [WORD ...]``.

A word is an area or a part of a case's name. All cases together write
docs/results/soak/bad-input.md; the status is 1 where one is not right.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", PIP_NO_INDEX="1")
sys.path.insert(0, str(Path(__file__).parents[2]))  # as the tests find tiny and tinygate

from tests.soak.bad_input import drive, table


def main() -> int:
    """Runs what is asked; says what is not right."""
    ask = argparse.ArgumentParser(prog="python -m tests.soak.bad_input")
    ask.add_argument("words", nargs="*")
    ask.add_argument("--share", type=float, default=1.0)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--json", type=Path)
    asked, began = ask.parse_args(), time.monotonic()
    table.ready()
    every = drive.sampled(table.cases(), asked.share, asked.seed)
    words = asked.words
    chosen = [c for c in every if not words or any(w == c.area or w in c.name for w in words)]

    def step(_name: str, done: int, total: int) -> None:
        left = (time.monotonic() - began) / max(done, 1) * (total - done)
        print(f"\r{done} of {total}, {left:.0f} s left ", end="", file=sys.stderr, flush=True)

    ended = table.outcomes(chosen, step)
    wrong = [each for each in ended if each.what != "right"]
    for each in wrong:
        print(f"{each.area}: {each.name}: {each.what} ({each.status}): {each.said[:300]!a}")
    print(f"{len(ended) - len(wrong)} of {len(ended)} right")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in ended]))
    elif len(chosen) == len(table.cases()):
        table.write(ended)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
