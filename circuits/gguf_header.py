"""A GGUF's header, read before any library allocates what it claims.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Whatever is counted in it
takes room in the file, so no claim can be larger than the file has bytes for it.
"""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.checkpoint import require_sizes
from circuits.errors import expect, reading

_SCALARS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "", "", "<Q", "<q", "<d")
_STRING, _ARRAY = 8, 9
_LEAST_TENSOR, _LEAST_FIELD = 24, 13  # bytes
_ELEMENTS = 5_000_000  # in all arrays: vocabularies and their merges have up to two million
_DIMENSIONS = 8
_BITS = 8  # numbers in a byte, of the smallest quantisation that there could be
# Of an architecture's fields, those by which much is built, by transformers' names for them.
_SIZES = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "expert_count": "num_experts",
}
_NARROW = ("embedding_length", "feed_forward_length", "attention.key_length", "vocab_size")


@dataclass(frozen=True)
class Header:
    """What a GGUF says of itself: single values by name, and its tensors' shapes."""

    values: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]


def require_header(path: Path, of: str) -> int:
    """Refuse a file whose header is none, is cut, or claims more than the file holds.

    Returns how many numbers are in its tensors.

    Raises:
        UserError: says what does not fit.
    """
    with reading(of, "a GGUF file", "fetch it again"), _mapped(path) as file:
        header = _header(file, of)
    kind, shapes = header.values.get("general.architecture"), header.shapes
    expect(isinstance(kind, str), "a GGUF file that names its architecture", repr(kind), of=of)
    sizes = {name: header.values.get(f"{kind}.{name}") for name in _SIZES}
    require_sizes({_SIZES[name]: value for name, value in sizes.items()}, len(shapes), of)
    widest = max((size for shape in shapes.values() for size in shape), default=0)
    for name in _NARROW:
        expect(
            (sizes[name] or 0) <= widest,
            f"a GGUF file with {kind}.{name} of at most {widest}, as its tensors have",
            sizes[name],
            "fetch it again",
            of,
        )
    embedding, width = shapes.get("token_embd.weight"), sizes["embedding_length"]
    expect(
        embedding is not None and embedding[:1] == (width,),
        f"a GGUF file with embeddings of {kind}.embedding_length, {width}",
        embedding,
        "fetch it again",
        of,
    )
    return sum(math.prod(shape) for shape in shapes.values())


def pre_tokenizer(path: Path, of: str) -> str:
    """What the tokenizer does before its merges, by llama.cpp's names; "" where it is not said."""
    with reading(of, "a GGUF file", "fetch it again"), _mapped(path) as file:
        cursor, _, fields = _opened(file, of)
        for name, value in _fields(cursor, fields):
            if name == "tokenizer.ggml.pre":
                return value if isinstance(value, str) else ""
    return ""


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass
class _Cursor:
    """A place in a file, moved on by reading."""

    file: mmap.mmap
    of: str
    at: int = 0
    elements: int = 0

    def skip(self, count: int) -> int:
        """Move on; where it was."""
        start, left = self.at, len(self.file) - self.at
        expect(
            count <= left,
            "a GGUF file with its whole header",
            f"{left} bytes at its end where {count} are said to follow",
            "fetch it again",
            self.of,
        )
        self.at += count
        return start

    def scalar(self, form: str) -> Any:
        return struct.unpack_from(form, self.file, self.skip(struct.calcsize(form)))[0]

    def text(self) -> bytes:
        length = self.scalar("<Q")
        start = self.skip(length)
        return self.file[start : start + length]


def _opened(file: mmap.mmap, of: str) -> tuple[_Cursor, int, int]:
    """The place after the header's first numbers, and how many tensors and fields there are."""
    cursor = _Cursor(file, of)
    magic = file[cursor.skip(4) :][:4]
    expect(magic == b"GGUF", "a GGUF file", f"one that begins {magic!r}", "fetch it again", of)
    version = cursor.scalar("<I")
    expect(version in (2, 3), "a GGUF file of version 2 or 3", version, "convert it again", of)
    tensors, fields = cursor.scalar("<Q"), cursor.scalar("<Q")
    room = len(file) - cursor.at
    expect(
        tensors * _LEAST_TENSOR + fields * _LEAST_FIELD <= room,
        f"a GGUF file of {room} bytes more",
        f"{tensors} tensors and {fields} fields",
        "fetch it again",
        of,
    )
    return cursor, tensors, fields


def _header(file: mmap.mmap, of: str) -> Header:
    cursor, tensors, fields = _opened(file, of)
    values = dict(_fields(cursor, fields))
    shapes: dict[str, tuple[int, ...]] = {}
    for _ in range(tensors):
        name, count = cursor.text().decode("utf-8", "replace"), cursor.scalar("<I")
        wanted = f"tensors of at most {_DIMENSIONS} dimensions"
        expect(count <= _DIMENSIONS, wanted, count, "fetch it again", of)
        shapes[name] = tuple(cursor.scalar("<Q") for _ in range(count))
        cursor.skip(12)  # type and offset
        numbers = math.prod(shapes[name])
        expect(
            numbers <= _BITS * len(file),
            f"a GGUF file of {len(file)} bytes",
            f"{numbers} numbers in {name[:60]}",
            "fetch it again",
            of,
        )
    return Header(values, shapes)


def _fields(cursor: _Cursor, count: int) -> Iterator[tuple[str, Any]]:
    """Names and values in their order; of arrays there is no value."""
    for _ in range(count):
        name = cursor.text().decode("utf-8", "replace")
        yield name, _value(cursor, cursor.scalar("<I"))


def _value(cursor: _Cursor, kind: int) -> Any:
    if kind == _STRING:
        return cursor.text().decode("utf-8", "replace")
    if kind == _ARRAY:
        _skip_array(cursor, cursor.scalar("<I"), cursor.scalar("<Q"))
        return None
    _require_kind(cursor, kind)
    return cursor.scalar(_SCALARS[kind])


def _skip_array(cursor: _Cursor, kind: int, length: int) -> None:
    cursor.elements += length
    wanted = f"a GGUF file with at most {_ELEMENTS} values in arrays"
    expect(cursor.elements <= _ELEMENTS, wanted, cursor.elements, "fetch it again", cursor.of)
    if kind == _STRING:
        for _ in range(length):
            cursor.skip(cursor.scalar("<Q"))
        return
    _require_kind(cursor, kind)
    cursor.skip(length * struct.calcsize(_SCALARS[kind]))


def _require_kind(cursor: _Cursor, kind: int) -> None:
    known = kind < len(_SCALARS) and _SCALARS[kind]
    expect(known, "a GGUF file with values of known types", kind, "fetch it again", cursor.of)
