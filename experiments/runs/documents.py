"""YAML that somebody else wrote: bounded before it is built, and every refusal one line.

Aliases, depth and size are refused while the file is scanned: a few hundred bytes of aliases stand
for billions of words, and nested brackets for more calls than Python makes.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from circuits.errors import expect, reading

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe types only; the faster if built
_LARGEST = 1_000_000  # bytes; the shipped files have at most 16,000
_DEEPEST = 20  # lists and mappings within each other
_COUNTED = ("int", "float", "timestamp")  # what YAML reads otherwise than it is written
_KEPT = {
    first: [row for row in rows if row[0].rpartition(":")[2] not in _COUNTED]
    for first, rows in _LOADER.yaml_implicit_resolvers.items()
}
# Reads 007, 12:30 (to YAML a number of base 60) and 1.50 as the texts that they are.
_AS_WRITTEN: Any = type("AsWritten", (_LOADER,), {"yaml_implicit_resolvers": _KEPT})


def read_yaml(path: Path, what: str, texts: bool = False) -> Any:
    """A YAML file's value; see :func:`read_documents`.

    Args:
        texts: numbers and dates are texts, as they are written.
    """
    documents = read_documents(path, what, loader=_AS_WRITTEN if texts else _LOADER)
    expect(len(documents) <= 1, "one document", f"{len(documents)}", "join them", of=what)
    return documents[0] if documents else None


def read_documents(
    path: Path, what: str, expected: str = "a YAML file", loader: Any = _LOADER
) -> list[Any]:
    """The values of a YAML file's documents (safe types only).

    Args:
        what: the file is, to begin a refusal with.
        expected: of it, for a refusal.
        loader: PyYAML's, of safe types.

    Raises:
        UserError: no file, not YAML or not UTF-8, beyond a megabyte, an alias, lists or mappings
            within each other beyond 20, or a name twice in one mapping.
    """
    with reading(what, expected, "mend the file"), _yaml(what, expected):
        expect(path.is_file(), expected, "no file of that name", "check the path", of=what)
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        expect(len(content) <= _LARGEST, "at most a megabyte", "more", "split it", of=what)
        text = content.decode("utf-8")
        _bounded(text, what)
        for node in yaml.compose_all(text, _LOADER):
            for twice in _repeated(node):
                expect(False, "each name once", "it twice", "join the two", f"{what}: {twice}")
        return list(yaml.load_all(text, loader))


@contextmanager
def _yaml(what: str, expected: str) -> Iterator[None]:
    """YAML's errors say what is wrong and where in several lines."""
    try:
        yield
    except yaml.YAMLError as error:
        expect(False, expected, " ".join(str(error).split()), "mend the file", what)


def _bounded(text: str, what: str) -> None:
    """Refuses what would be large once it is built, from the parser's events alone."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            at = f"*{event.anchor} in line {event.start_mark.line + 1}"
            expect(False, "no aliases", at, "write the values out", of=what)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            expect(False, f"at most {_DEEPEST} lists within each other", "more", of=what)


def _repeated(node: Any) -> Iterator[str]:
    """Names that stand twice in one mapping: readers keep the last without a word."""
    if isinstance(node, yaml.MappingNode):
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        yield from (name for name, times in names.items() if times > 1)
        for pair in node.value:
            yield from (name for part in pair for name in _repeated(part))
    elif isinstance(node, yaml.SequenceNode):
        yield from (name for part in node.value for name in _repeated(part))
