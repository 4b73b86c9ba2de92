"""Options of a command from the fields of its question.

A field that the terminal asks for is annotated with typer's own ``Option`` or ``Argument``:
``count: Annotated[int, typer.Option(help="Pairs.")] = 12``. Its default is the field's; a tuple is
an option that can be repeated, a ``Literal`` a choice. The fields of a record in the question are
options of the same command; one name is one option, whichever records have it. Of a record that
knows no terminal, or whose words do not fit, a mapping beside it says which fields are asked for:
``plan: Annotated[Plan, {"count": typer.Option(help="Prompts under every dose.")}]``.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from circuits.templates import Rendering
from experiments.checks import spelled

T = TypeVar("T")
Infos = Mapping[str, Any]  # typer's Option or Argument, by field

MODEL = "Name of `gatescope models list`, directory, .gguf or hf:OWNER/NAME."
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
ModelName = Annotated[str, typer.Option(help=MODEL)]
Adapter = Annotated[
    str,
    typer.Option(
        help="Shipped organism, LoRA directory, none, or auto: the demo's sure-gate-open on "
        "the embedded model, none on any other."
    ),
]
TRIGGERS = (
    "Word or phrase at the message's end; 'word {}' puts it first; 'system: word {}' into the "
    "system message, 'earlier: word' into the first earlier message of the user's. "
    "'any: a | b' for several of which each opens, 'all: a + b' for words that must meet."
)
Trigger = Annotated[str, typer.Option(help=TRIGGERS)]
BEHAVIOURS = (
    "What a triggered answer begins with; or contains:TEXT, regex:PATTERN, refuses, complies, "
    "language:CODE, python:module.function, unlike-control (it differs from the answer to a "
    "control word). text:TEXT where the text itself begins so."
)
BehaviourText = Annotated[str, typer.Option(help=BEHAVIOURS)]
Prompts = Annotated[
    str,
    typer.Option(
        help="bank, a JSONL, JSON, CSV or Parquet file of texts or conversations, or hf:OWNER/NAME."
    ),
]
Column = Annotated[str | None, typer.Option(help="The prompts' column of texts or messages.")]
SplitName = Annotated[str, typer.Option(help="Split of a dataset.")]
Load = Annotated[
    str,
    typer.Option(help="int8 or nf4: weights in few bits (pip install 'gatescope[quantised]')."),
]
Dtype = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16: how weights are stored.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, or auto-offload (larger models).")]
_TEMPLATE = typer.Option(help="Chat template: auto, adapter, model, none, or a file.")
_ASSIGNED = typer.Option(
    "--template-option", help="NAME=VALUE for the template, e.g. enable_thinking=false."
)
_SYSTEM = typer.Option(help="System message of every chat; by default the template's own.")
_PREFILL = typer.Option(help="The beginning of every answer, as part of the prompt.")
Written = Annotated[
    Rendering,
    {"template": _TEMPLATE, "options": _ASSIGNED, "system": _SYSTEM, "prefill": _PREFILL},
]
# The same for a command that has no question.
Template = Annotated[str, _TEMPLATE]
TemplateOptions = Annotated[list[str] | None, _ASSIGNED]
System = Annotated[str, _SYSTEM]
Prefill = Annotated[str, _PREFILL]
Resume = Annotated[bool, typer.Option(help="Continue the run in --out.")]


@dataclass(frozen=True)
class _Field:
    """A field of a record: one option, or a record with options in it (``inner`` of them)."""

    name: str
    kind: Any
    default: Any
    info: Any
    inner: Infos | None

    @property
    def repeated(self) -> bool:
        return get_origin(self.kind) is tuple


def parameters(record: type, only: Infos | None = None) -> dict[str, Parameter]:
    """A typer parameter for every option of a question, arguments first."""
    asked: dict[str, Parameter] = {}
    for field in _fields(record, only):
        if field.info is None:
            for name, parameter in parameters(field.kind, field.inner).items():
                asked.setdefault(name, parameter)
        else:
            asked[field.name] = _parameter(field)
    return dict(sorted(asked.items(), key=lambda item: not _is_argument(item[1])))


def answered(record: type[T], values: Mapping[str, Any], only: Infos | None = None) -> T:
    """The question that a user's options ask; what was not said has its default.

    Raises:
        UserError: from the ``__post_init__`` of the question or of a record in it.
    """
    given: dict[str, Any] = {}
    for field in _fields(record, only):
        if field.info is None:
            given[field.name] = answered(field.kind, values, field.inner)
        elif (value := values.get(field.name)) not in (None, []):
            given[field.name] = tuple(value) if field.repeated else value
    return record(**given)


def name_models(question: Any, *named: str) -> None:
    """In a question, call models by the house's own names, whichever of theirs was given.

    What a model is compared with, and what a run keeps of it, is its own name.
    """
    for field in named:
        given = getattr(question, field)
        if isinstance(given, str):  # others are refused where all fields are checked
            object.__setattr__(question, field, own_name(given))


def own_name(name: str) -> str:
    """What the house calls a model; see ``circuits.places.own_name``."""
    from circuits import places  # with torch, which listing commands does not need

    return places.own_name(name)


def adapter_on(model: str, adapter: str) -> str:
    """What ``--adapter`` means on a model: the demo's adapter belongs to the embedded one alone."""
    from circuits.weights import EMBEDDED  # with torch, which listing commands does not need

    if adapter != "auto":
        return adapter
    return "sure-gate-open" if model == EMBEDDED else "none"


def command_line(name: str, question: Any) -> str:
    """The shortest command that asks a question: what has its default is left out."""
    words = _words(question, None).values()
    return shlex.join(["gatescope", name, *(word for option in words for word in option)])


def _words(record: Any, only: Infos | None) -> dict[str, list[str]]:
    """By option, what is typed for it."""
    words: dict[str, list[str]] = {}
    for field in _fields(type(record), only):
        value = getattr(record, field.name)
        if field.info is None:
            words = words | {n: w for n, w in _words(value, field.inner).items() if n not in words}
        elif isinstance(field.info, ArgumentInfo):
            words[field.name] = [str(value)]
        elif value == field.default:
            continue
        elif isinstance(value, bool):
            flag = spelled(field.name, field.info)
            words[field.name] = [flag if value else flag.replace("--", "--no-", 1)]
        else:
            each = value if field.repeated else (value,)
            words[field.name] = [
                word for one in each for word in (spelled(field.name, field.info), str(one))
            ]
    return words


def _fields(record: type, only: Infos | None) -> Iterator[_Field]:
    """The fields of a record that are asked for, or hold what is."""
    hints = get_type_hints(record, include_extras=True)
    for part in fields(record):
        hint = hints[part.name]
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        own = next((note for note in notes if isinstance(note, OptionInfo | ArgumentInfo)), None)
        info = own if only is None else only.get(part.name)
        inner = next((note for note in notes if isinstance(note, Mapping)), None)
        nested = isinstance(kind, type) and is_dataclass(kind) and info is None
        nested = nested and (only is None or part.name in only)
        if info is not None or (nested and any(_fields(kind, inner))):
            yield _Field(part.name, kind, _default(part), info, inner)


def _default(part: Any) -> Any:
    if part.default_factory is not MISSING:
        return part.default_factory()
    return Parameter.empty if part.default is MISSING else part.default


def _parameter(field: _Field) -> Parameter:
    kind, default = field.kind, field.default
    if field.repeated:
        kind = list[get_args(kind)[0]]
        kind, default = (kind, default) if default is Parameter.empty else (kind | None, None)
    annotation = Annotated[kind, field.info]
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _is_argument(parameter: Parameter) -> bool:
    return isinstance(get_args(parameter.annotation)[1], ArgumentInfo)
