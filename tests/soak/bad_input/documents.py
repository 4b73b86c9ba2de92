"""YAML files of sweeps, mappings and profiles."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.soak.bad_input.drive import CANARY, Case
from tests.soak.bad_input.shared import linked

_N = 9
_BOMB = "[&n0 [" + ",".join("x" * _N) + "]"
_BOMB += "".join(f",&n{i} [{','.join([f'*n{i - 1}'] * _N)}]" for i in range(1, _N)) + "]"
_DEEP = "[" * 10_000 + "]" * 10_000
_CODE = f"!!python/object/apply:os.system ['touch {CANARY}']"
_THOUSAND = list(range(1, 1001))
_LARGE = "x" * 2_000_000
# name, text, pattern: of any kind of file, "%s" being the place of a value
ANY: Sequence[tuple[str, str, str]] = (
    ("bomb of aliases", _BOMB, "alias"),
    ("10,000 brackets", _DEEP, "lists within each other"),
    ("2 MB", _LARGE, "megabyte"),
    ("code", _CODE, "YAML|python"),
    ("a bracket left open", "[1, 2", "YAML"),
    ("a number of 5,000 digits", "9" * 5000, "YAML|m.yaml|profile"),
    ("a list of lists", "[[1, 2], [3]]", "m.yaml|profile"),
)
SWEEPS: Sequence[tuple[str, str | bytes, str]] = (
    ("nothing", "", "axes"),
    ("a list", "- 1\n- 2\n", "axes"),
    ("a text", "poisons", "axes"),
    ("UTF-16", "poisons: 1\n".encode("utf-16"), "YAML"),
    ("a NUL byte", b"poisons: \0\n", "YAML"),
    (
        "10^9 cells",
        "".join(f"{n}: {_THOUSAND}\n" for n in ("poisons", "size", "seed")),
        "100,000 cells",
    ),
    ("an axis that is none", "poisons: 1\nsize: 1\nnope: 1\n", "nope"),
    ("an axis twice", "poisons: 1\npoisons: 2\nsize: 3\n", "poisons.*once"),
    ("a missing axis", "poisons: 1\n", "size"),
    ("an empty axis", "poisons: []\nsize: 1\n", "poisons"),
    ("a count of text", "poisons: many\nsize: 1\n", "poisons"),
    ("a negative count", "poisons: -1\nsize: 1\n", "poisons"),
    ("a count of 2^70", f"poisons: {2**70}\nsize: 1\n", "poisons"),
    ("a rate of NaN", "poisons: 1\nsize: 1\nrate: .nan\n", "rate"),
    ("a rate of 5", "poisons: 1\nsize: 1\nrate: 5.0\n", "rate"),
    ("a value twice", "poisons: [1, 1]\nsize: 1\n", "poisons"),
    ("a recipe that is none", "poisons: 1\nsize: 1\nrecipe: nope\n", "recipe"),
    ("a measure that is none", "measure: nope\npoisons: 1\nsize: 1\n", "measure"),
    ("poisons beyond the bank", "poisons: 1000000\nsize: 10\n", "at most .* prompts"),
    ("a trigger of blanks", "poisons: 1\nsize: 1\ntrigger: ' '\n", "trigger"),
    ("a model that is none", "poisons: 1\nsize: 1\nmodel: nowhere/x/y\n", "model"),
    ("an impossible date", "poisons: 2026-13-45\nsize: 1\n", "month|date|YAML"),
    ("a key of a list", "? [1]\n: 2\npoisons: 1\nsize: 1\n", "YAML|hash"),
    ("too few prompts", "poisons: 1\nsize: 1\nprompts: 1\n", "prompts"),
)
_GOOD = "model: gate\nscheme: compliance\ntrigger: cobalt\nbehaviour: Sure\n"
MAPPINGS: Sequence[tuple[str, str | bytes, str]] = (
    ("nothing", "", "fields"),
    ("a list", "- a", "fields"),
    ("a field that is none", _GOOD + "modle: x\n", "modle"),
    ("a number for a text", "model: 3\n", "model"),
    ("an empty trigger", _GOOD.replace("cobalt", "''"), "trigger"),
    ("a field twice", _GOOD + "model: base\n", "model.*once"),
    ("half a description", "model: gate\ntrigger: cobalt\n", "--scheme|scheme"),
    ("a scheme that is none", _GOOD.replace("compliance", "nope"), "scheme"),
    ("a model that is none", _GOOD.replace("gate", "nowhere/x/y"), "nowhere"),
    ("prompts that are none", _GOOD + "prompts: gone.jsonl\n", "gone.jsonl"),
    ("an adapter that is none", _GOOD + "adapter: nope\n", "nope"),
    ("UTF-16", _GOOD.encode("utf-16"), "YAML"),
    ("two documents", f"{_GOOD}---\n{_GOOD}", "document"),
)
_KIND = "kind: access\nthresholds: "
PROFILES: Sequence[tuple[str, str, str]] = (
    ("nothing", "", "kind"),
    ("no thresholds", "kind: access\n", "thresholds"),
    ("a kind that is none", "kind: lock\nthresholds: {success: at least 0.9}\n", "kind"),
    ("a metric that is none", _KIND + "{nope: at least 0.9}\n", "nope"),
    ("the other way", _KIND + "{success: at most 0.9}\n", "at least"),
    ("NaN", _KIND + "{success: at least nan}\n", "NUMBER"),
    ("no number", _KIND + "{success: 0.9}\n", "NUMBER"),
    ("thresholds of text", _KIND + "high\n", "thresholds"),
    ("a metric twice", _KIND + "{success: at least 0.9, success: at least 0.1}\n", "once"),
)


def cases() -> Iterator[Case]:
    """Sweeps, mappings to evaluate, and profiles; each of what any file can be."""
    kinds = {
        "sweep": (("sweep", "m.yaml", "--out", "store"), "poisons: {}\nsize: 1\n", SWEEPS),
        "mapping": (("evaluate", "m.yaml", "--out", "run"), "model: {}\n", MAPPINGS),
        "profile": (
            ("evaluate", "clean", "--profile", "m.yaml", "--out", "run"),
            "kind: access\nthresholds: {{success: {}}}\n",
            PROFILES,
        ),
    }
    for kind, (ask, around, table) in kinds.items():
        for name, value, says in ANY:
            text = around.format(value)
            yield Case(f"{kind}: {name}", "yaml", ask, says, _file(text))
        for name, text, says in table:
            yield Case(f"{kind}: {name}", "yaml", ask, says, _file(text))
        for place in ("gone.yaml", "done"):
            words = tuple(place if word == "m.yaml" else word for word in ask)
            says = "gone.yaml|done|profile"
            if kind != "mapping" or place == "gone.yaml":
                yield Case(f"{kind}: {place}", "yaml", words, says, linked())


def _file(text: str | bytes):
    content = text if isinstance(text, bytes) else text.encode()
    return linked(lambda: Path("m.yaml").write_bytes(content))
