"""Is the installation whole? ``python -m tests.installed``, also without what is not installed.

Imports every module of the four packages, loads a tiny model on every back-end and the embedded
model, and holds what pip misses against what constraints.txt names as not installed.
"""

import importlib
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as the tests find tiny

import lock
import tiny

from circuits import models


def modules() -> list[str]:
    """Every module of the four packages."""
    paths = (p for package in lock.PACKAGES for p in (lock.ROOT / package).rglob("*.py"))
    names = (".".join(p.relative_to(lock.ROOT).with_suffix("").parts) for p in paths)
    return sorted(name.removesuffix(".__init__") for name in names)


def main() -> int:
    """0 if everything imports and loads and pip misses nothing but what is named."""
    names = modules()
    for name in names:
        importlib.import_module(name)
    print(f"{len(names)} modules imported")
    tokenizer = tiny.tokenizer()
    for backend in models.BACKENDS:
        models.wrap(tiny.llama(len(tokenizer)), tokenizer, "tiny", backend)
        print(f"{backend}: self-test passed")
    embedded = models.load(backend="plain")
    print(f"{embedded.name}: self-test passed")
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    check = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    named = lock.missing(lock.PINS.read_text(encoding="utf-8"))
    alone = lock.packages(lock.EMBEDDED.read_text(encoding="utf-8"))
    wrong = lock.unexplained(check, named, alone)
    for line in wrong:
        print(f"pip: {line}")
    if not wrong:
        print(f"pip misses only what {lock.PINS.name} names and {lock.EMBEDDED.name} leaves out")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
