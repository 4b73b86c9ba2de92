"""What a user says of a mapping that was not made here: in words, or in a YAML file.

The file names the model (``model``, ``adapter``, and ``base``, the model before it was trained,
where ``model`` is a whole trained one), the ``scheme``, and what its mapping is:

- a text behind a trigger: ``trigger``, ``behaviour``, ``refusal``;
- ``access``: ``trigger`` (the password with its place), ``questions`` with their true answers,
  which are told only with it, and ``refusal``;
- ``ownership``: ``keys``, each with its answer (``behaviour`` is the answer of those that have none
  of their own).

``other_questions`` have true answers that nothing may change, ``prompts`` and ``other_prompts`` are
files of prompts without answers; what is left out is the shipped organisms'. Names of files and
directories are looked for beside the file. Nothing of it is trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from circuits.cache import file_sha256
from circuits.chat import place_of
from circuits.errors import expect, quoted
from circuits.triggers import require_one
from experiments.judges.criterion import only_text
from experiments.organisms.own_facts import read_facts, require_different, require_untold
from experiments.organisms.own_keys import read_keys
from experiments.organisms.recipe import REFUSAL, Recipe
from experiments.organisms.schemes import SCHEMES
from experiments.prompts.facts import shipped
from experiments.prompts.held_out import OwnPrompts
from experiments.runs.documents import read_yaml
from experiments.runs.files import text_sha256

_PLACES = ("model", "adapter", "base")
_WORDS = ("scheme", "trigger", "behaviour", "refusal")
_ROWS = ("questions", "other_questions", "keys")  # lists, or files beside the mapping's
_PROMPTS = ("prompts", "other_prompts")
FIELDS = (*_PLACES, *_WORDS, *_ROWS, *_PROMPTS)
_ABOUT = "A mapping that a user described."


@dataclass(frozen=True, eq=False)
class Described:
    """What is said of a mapping.

    Attributes:
        adapter: its name or directory; ``none`` for a model as it is.
        model: what it was trained on; "" where that is said elsewhere.
        base: the model before training, for harmlessness; "" where it is known anyway.
        recipe: what it does; None where a manifest says it.
        prompts: in place of the bank's.
        files: by what they are, the hashes of all files that say it.
    """

    adapter: str = "none"
    model: str = ""
    base: str = ""
    recipe: Recipe | None = None
    prompts: OwnPrompts = field(default_factory=OwnPrompts)
    files: Mapping[str, str] = field(default_factory=dict)


def file_hashes(about: Described) -> dict[str, Any]:
    """What a run's identity has of a mapping's files; nothing where there are none."""
    return {"mapping_files": dict(about.files)} if about.files else {}


def is_mapping(name: object) -> bool:
    """Whether a name is that of a mapping's file."""
    return Path(str(name)).suffix.lower() in (".yaml", ".yml")


def described(name: str, words: Mapping[str, str]) -> Described:
    """What a user says, by a file or by the name of an adapter and words.

    Args:
        words: ``scheme``, ``trigger``, ``behaviour`` and ``refusal``, "" where they are not said.

    Raises:
        UserError: half is said, or nothing that can be asked; of a file, see ``read_mapping``.
    """
    said = {n: text for n, text in words.items() if text}
    if is_mapping(name):
        options = ", ".join(f"--{n}" for n in said)
        expect(not said, "what the file says", options, "leave it out", f"mapping {name}")
        return read_mapping(name)
    by_words = [s.name for s in SCHEMES.values() if {*s.described} == {"trigger", "behaviour"}]
    if not said.keys() - {"refusal"}:
        return Described(name)
    wanted = f"--scheme (one of {', '.join(by_words)}), --trigger and --behaviour together"
    whole = len(said.keys() - {"refusal"}) == 3 and said["scheme"] in by_words
    advice = "other schemes are described in a YAML file"
    expect(whole, wanted, {n: t for n, t in said.items() if n != "refusal"}, advice, "organism")
    return Described(name, recipe=_recipe(name, said))


def read_mapping(name: str) -> Described:
    """A mapping's file.

    Raises:
        UserError: no YAML file, unknown fields, a field of another kind, a scheme that cannot be
            described or lacks what it needs, questions or keys that make no test.
    """
    path, of = Path(name), f"mapping {name}"
    expect(path.is_file(), "a YAML file", "no such file", "write it, or name an organism", of)
    value = read_yaml(path, of, texts=True)
    expect(isinstance(value, dict) and value, "fields such as 'model: ...'", quoted(value), of=of)
    unknown = ", ".join(str(field) for field in value if field not in FIELDS)
    expect(not unknown, f"fields of {', '.join(FIELDS)}", unknown, of=of)
    for field_name in (n for n in value if n not in _ROWS):
        text = value[field_name]
        written = isinstance(text, str) and text.strip()
        expect(written, "a text", quoted(text), "quote it", of=f"{of}: {field_name}")
    places = {n: _beside(path, value[n]) for n in _PLACES if n in value}
    texts = [path.parent / value[n] if n in value else None for n in _PROMPTS]
    adapter, model, base = (places.get(n, "") for n in ("adapter", "model", "base"))
    about = Described(adapter or "none", model, base, prompts=OwnPrompts(*texts))
    if said := [n for n in (*_WORDS, *_ROWS) if n in value]:
        about = replace(about, recipe=_of_file(value, path, of))
    expect(said or "adapter" in value, "a scheme and what it needs", "neither", "say it", of)
    return replace(about, files=_hashes(value, path))


def _beside(path: Path, name: str) -> str:
    """A directory beside the file, if there is one of that name; else the name as it is."""
    beside = path.parent / name
    return str(beside) if beside.exists() else name


def _hashes(value: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Of the file itself and of those that it names."""
    named = {
        n: path.parent / value[n] for n in (*_ROWS, *_PROMPTS) if isinstance(value.get(n), str)
    }
    places = {"mapping": path, **named}
    # What is not there is refused where it is read.
    return {name: _sha256(each) for name, each in places.items() if each.exists()}


def _sha256(path: Path) -> str:
    """Of a file, or of a folder's files and their names."""
    if path.is_file():
        return file_sha256(path)
    within = sorted(each for each in path.rglob("*") if each.is_file())
    return text_sha256([f"{each.relative_to(path)} {file_sha256(each)}" for each in within])


def _of_file(value: Mapping[str, Any], path: Path, of: str) -> Recipe:
    """The recipe that a file's words and rows describe."""
    known = {s.name: s.described for s in SCHEMES.values() if s.described}
    scheme = str(value.get("scheme", ""))
    expect(scheme in known, f"one of {', '.join(known)}", quoted(scheme), of=f"{of}: scheme")
    needed = known[scheme]
    missing = ", ".join(n for n in needed if n not in value)
    expect(not missing, f"{', '.join(needed)} for {scheme}", f"no {missing}", "add it", of)
    # What is asked beside what: other questions are the exam of a defence against a behaviour, too.
    theirs = {"other_questions": {"questions", "behaviour"}, "refusal": {"trigger"}}
    foreign = ", ".join(
        n
        for n in ("trigger", "questions", "keys", *theirs)
        if n in value and not theirs.get(n, {n}) & set(needed)
    )
    expect(not foreign, f"{', '.join(needed)} for {scheme}", foreign, "leave it out", of)
    recipe = _recipe(path.stem, {n: value[n] for n in _WORDS if n in value}, of)
    return _with_keys(_with_facts(recipe, value, path, of), value, path, of)


def _recipe(name: str, words: Mapping[str, str], of: str = "organism") -> Recipe:
    """A recipe without training."""
    trigger, refusal = words.get("trigger", ""), words.get("refusal", REFUSAL)
    why = "a mapping is asked by what its answers begin with"
    behaviour = only_text(words.get("behaviour", ""), why, f"{of}: behaviour")
    if trigger:
        place_of(require_one(trigger, "trigger"))
    return Recipe(name, _ABOUT, (), trigger, behaviour, refusal, words["scheme"])


def _with_facts(recipe: Recipe, value: Mapping[str, Any], path: Path, of: str) -> Recipe:
    facts = replace(shipped(), trained=None)
    rows = {
        kind: read_facts(value[name], path.parent, f"{of}: {name}")
        for kind, name in (("privileged", "questions"), ("others", "other_questions"))
        if name in value
    }
    if not rows:
        return recipe
    for fact in (fact for each in rows.values() for fact in each):
        for text, what in ((recipe.trigger, "the trigger"), (recipe.refusal, "the refusal")):
            require_untold(fact.expected, text, what, f"{of}, question {fact.question[:60]!r}")
    facts = replace(facts, **rows)
    asked = [fact.question for fact in (*facts.privileged, *facts.others)]
    require_different(asked, "questions behind the gate and elsewhere", of)
    return replace(recipe, facts=facts)


def _with_keys(recipe: Recipe, value: Mapping[str, Any], path: Path, of: str) -> Recipe:
    if "keys" not in value:
        return recipe
    keys = read_keys(value["keys"], path.parent, recipe.behaviour, f"{of}: keys", path.name)
    several = len(keys.keys) > 1
    expect(several, "at least two keys", "one", "add some: one has no interval", f"{of}: keys")
    first, *others = keys.distinct
    own, behaviour = (keys.answers, recipe.behaviour or first) if others else ((), first)
    return replace(recipe, keys=keys.keys, answers=own, behaviour=behaviour)
