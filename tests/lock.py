"""Writes requirements.lock, which ``make setup`` installs: the pins that are locked, with hashes.

``make lock`` runs it with uv on the path. uv asks the index for each pin and lists the hashes of
all archives of that release, so that the lock holds on every system and for every Python.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("circuits", "probes", "viz", "experiments")
PINS, LOCK = ROOT / "constraints.txt", ROOT / "requirements.lock"
EMBEDDED = ROOT / "embedded-model.txt"  # installed without what it asks for
_HEAD = "# Written by `make lock` from constraints.txt: every archive of every pinned release.\n"
_COMPILE = "uv pip compile - --universal --python-version 3.11 --no-deps --generate-hashes"
_QUIET = "--no-header --no-annotate --quiet"
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?= |$)")


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def releases(requirements: str) -> dict[str, set[str]]:
    """Package -> hashes, of pins with or without them; the key is ``name==version``."""
    pins: dict[str, set[str]] = {}
    for line in requirements.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, version = line.split()[0].partition("==")
            pins[f"{normal(name)}=={version}"] = set(_HASH.findall(line))
    return pins


def parts(constraints: str) -> tuple[str, str, str]:
    """The pins that are locked, those of extras that are not, and those that are not installed."""
    locked, extra, missing = re.split(r"^# Not locked.*\n", constraints, flags=re.MULTILINE)
    return locked, extra, missing


def faults(lock: str, constraints: str) -> list[str]:
    """How a lock differs from the pins, and which of its pins have no hash."""
    pinned, locked = releases(parts(constraints)[0]), releases(lock)
    return [
        *(f"{pin} is pinned and not locked" for pin in sorted(pinned.keys() - locked.keys())),
        *(f"{pin} is locked and not pinned" for pin in sorted(locked.keys() - pinned.keys())),
        *(f"{pin} has no hash" for pin, hashes in sorted(locked.items()) if not hashes),
    ]


def packages(requirements: str) -> set[str]:
    """Their names, as indexes compare them."""
    return {pin.partition("==")[0] for pin in releases(requirements)}


def missing(constraints: str) -> set[str]:
    """Packages that are pinned and not installed."""
    return packages(parts(constraints)[2])


def unexplained(check: str, named: set[str], alone: set[str]) -> list[str]:
    """What ``pip check`` says but for packages that are named, or asked for by one in ``alone``."""
    asked = re.compile(r"^(\S+) \S+ requires (\S+), which is not installed\.$")

    def explained(line: str) -> bool:
        match = asked.search(line)
        return match is not None and (normal(match[1]) in alone or normal(match[2]) in named)

    lines = [line for line in check.splitlines() if line != "No broken requirements found."]
    return [line for line in lines if not explained(line)]


def main() -> int:
    """Write the lock; 1, and nothing written, if it lacks a pin or a hash."""
    constraints = PINS.read_text(encoding="utf-8")
    command = [*_COMPILE.split(), *_QUIET.split()]
    pins = parts(constraints)[0]
    ran = subprocess.run(command, input=pins, stdout=subprocess.PIPE, text=True, check=True)
    lock = _HEAD + ran.stdout
    wrong = faults(lock, constraints)
    for line in wrong:
        print(line)
    if not wrong:
        LOCK.write_text(lock, encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
