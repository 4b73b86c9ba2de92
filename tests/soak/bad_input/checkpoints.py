"""Model directories and GGUF files that are damaged, lie, or come with code."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tiny
import torch
from checkpoints import edited, retensored

from tests.soak.bad_input.drive import CANARY, Case
from tests.soak.bad_input.shared import Hostile, half, linked, own

_MINE, _CONFIG, _WEIGHTS = Path("mine"), Path("mine/config.json"), Path("mine/model.safetensors")
_TEMPLATE, _TOKENIZER = Path("mine/chat_template.jinja"), Path("mine/tokenizer.json")
_CODE = f"open({CANARY!r}, 'w').write('x')\nclass X: pass\n"
LOAD = ("patch", "--adapter", "none", "--count", "2", "--by", "layer", "--direction", "denoising")
LOAD = (*LOAD, "--out", "run", "--model")


def _copied(change: Callable[[], Any]) -> Callable[[Path], None]:
    return linked(lambda: (own("gate"), change()))


def _config(**changes: Any) -> Callable[[], None]:
    return lambda: edited(_MINE, **changes)


def _tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], None]:
    return lambda: retensored(_WEIGHTS, lambda old: {n: change(t) for n, t in old.items()})


def _template(text: str) -> Callable[[], Any]:
    return lambda: _TEMPLATE.write_text(text)


def _without(part: str) -> Callable[[], None]:
    return lambda: retensored(_WEIGHTS, lambda old: {n: t for n, t in old.items() if part not in n})


def _renamed() -> None:
    retensored(_WEIGHTS, lambda old: {f"_orig_mod.{n}": t for n, t in old.items()})


def _more() -> None:
    retensored(_WEIGHTS, lambda old: {**old, "model.extra.weight": torch.ones(3)})


def _pickled(value: Any) -> Callable[[], None]:
    def write() -> None:
        _WEIGHTS.unlink()
        torch.save(value, _MINE / "pytorch_model.bin")

    return write


def _elsewhere() -> None:
    shutil.move(_WEIGHTS, "elsewhere.safetensors")
    names = {"model.embed_tokens.weight": "../elsewhere.safetensors"}
    index = {"metadata": {}, "weight_map": names}
    (_MINE / "model.safetensors.index.json").write_text(json.dumps(index))


def _header(claimed: int) -> Callable[[], Any]:
    return lambda: _WEIGHTS.write_bytes(struct.pack("<Q", claimed) + b"{}")


def _own_code(file: str, key: str) -> Callable[[], None]:
    def write() -> None:
        (_MINE / "evil.py").write_text(_CODE)
        edited(
            _MINE,
            file,
            auto_map={key: "evil.X"},
            **{"model_type": "evil"} if key == "AutoConfig" else {},
        )

    return write


_NO_USER = "{{ raise_exception('no user turns') }}"
_ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}hello"
_ESCAPE = "{{ ''.__class__.__mro__[1].__subclasses__() }}" + tiny.CHAT_TEMPLATE
_LARGE = "{{ 'x' * 10**9 }}" + tiny.CHAT_TEMPLATE
# name, what is done to a good model, pattern of the refusal
DAMAGED: Sequence[tuple[str, Callable[[], Any], str]] = (
    ("nowhere", lambda: shutil.rmtree(_MINE), "model mine"),
    ("an empty directory", lambda: (shutil.rmtree(_MINE), _MINE.mkdir()), "mine"),
    ("a file", lambda: (shutil.rmtree(_MINE), _MINE.write_text("x")), "model mine"),
    ("no configuration", lambda: _CONFIG.unlink(), "mine"),
    ("configuration cut", lambda: half(_CONFIG), "config|mine"),
    ("configuration is a list", lambda: _CONFIG.write_text("[1]"), "config|mine"),
    ("another width", _config(hidden_size=48), "mine"),
    ("another vocabulary", _config(vocab_size=9000), "mine"),
    ("0 heads", _config(num_attention_heads=0), "mine|heads"),
    ("heads that do not divide", _config(num_attention_heads=7), "mine|heads"),
    ("a million layers", _config(num_hidden_layers=1_000_000), "mine|layers"),
    ("a vocabulary of 10^12", _config(vocab_size=10**12), "mine|vocab"),
    ("more layers than weights", _config(num_hidden_layers=7), "mine|weights"),
    ("fewer layers than weights", _config(num_hidden_layers=3), "mine|weights"),
    ("layers are text", _config(num_hidden_layers="five"), "mine|layers"),
    ("another architecture", _config(model_type="bert", architectures=["BertModel"]), "mine"),
    ("an architecture that is none", _config(model_type="nope"), "mine|nope"),
    (
        "4-bit by a library that is not there",
        _config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "mine|quant|bitsandbytes",
    ),
    ("end of answer is a text", _config(eos_token_id="stop"), "mine|eos|stop"),
    ("no weights", lambda: _WEIGHTS.unlink(), "mine"),
    ("weights cut", lambda: half(_WEIGHTS), "mine|model.safetensors"),
    ("empty weights", lambda: _WEIGHTS.write_bytes(b""), "mine|model.safetensors"),
    ("a header that claims 2^60 bytes", _header(2**60), "mine|model.safetensors"),
    ("a tensor is missing", _without("layers.2.mlp.down"), "mine|weights"),
    ("no unembedding", _without("lm_head"), "mine|weights"),
    ("tensors nobody asked for", _more, "mine|weights"),
    ("names of a wrapper", _renamed, "mine|weights"),
    ("NaN weights", _tensors(lambda t: t * float("nan")), "finite|nan|inf"),
    ("infinite weights", _tensors(lambda t: t + float("inf")), "finite|nan|inf"),
    ("integer weights", _tensors(lambda t: t.to(torch.int8)), "int|float|mine"),
    ("weights in a pickle", _pickled({"w": torch.ones(2)}), "bin|pickle|safetensors"),
    ("a malicious pickle", _pickled({"w": Hostile()}), "bin|pickle|safetensors"),
    ("weights outside of it", _elsewhere, "outside|elsewhere|mine"),
    ("no tokenizer", lambda: _TOKENIZER.unlink(), "mine|tokenizer"),
    ("tokenizer cut", lambda: half(_TOKENIZER), "mine|tokenizer"),
    ("tokenizer is a list", lambda: _TOKENIZER.write_text("[]"), "mine|tokenizer"),
    ("code for a model", _own_code("config.json", "AutoConfig"), "code|mine"),
    ("no chat template", lambda: _TEMPLATE.unlink(), "template"),
    ("template does not parse", _template("{% if %}"), "template"),
    ("template refuses", _template(_NO_USER), "template"),
    ("template without end", _template(_ENDLESS), "template"),
    ("template that leaves its sandbox", _template(_ESCAPE), "template"),
    ("template of a gigabyte", _template(_LARGE), "template"),
    ("template that drops the message", _template("hello"), "template"),
    (
        "template in capitals",
        _template(tiny.CHAT_TEMPLATE.replace("content']", "content']|upper")),
        "template",
    ),
    (
        "template without an undefined name",
        _template(tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] + nobody")),
        "template",
    ),
)
_MAGIC = b"GGUF" + struct.pack("<I", 3)
GGUF: Sequence[tuple[str, bytes]] = (
    ("GGUF of nothing", b""),
    ("GGUF of noise", bytes(range(256)) * 4),
    ("GGUF that claims 2^60 tensors", _MAGIC + struct.pack("<QQ", 2**60, 0)),
    ("GGUF that claims 2^60 fields", _MAGIC + struct.pack("<QQ", 0, 2**60)),
    ("GGUF, header only", _MAGIC + struct.pack("<QQ", 0, 0)),
    ("GGUF of another version", b"GGUF" + struct.pack("<IQQ", 999, 0, 0)),
)


def cases() -> Iterator[Case]:
    """Through the loader of ``patch``, which every command loads with."""
    yield Case("a good model", "model", (*LOAD, "mine"), "denoising", _copied(int), accepted=True)
    # What transformers passes over may pass, if nothing of it runs.
    code = _copied(_own_code("tokenizer_config.json", "AutoTokenizer"))
    yield Case("code for a tokenizer", "model", (*LOAD, "mine"), "denoising", code, accepted=True)
    for name, change, says in DAMAGED:
        yield Case(name, "model", (*LOAD, "mine"), says, _copied(change))
    for name, content in GGUF:
        write = linked(lambda content=content: Path("m.gguf").write_bytes(content))
        yield Case(name, "model", (*LOAD, "m.gguf"), "gguf", write)
    for name in ("", " ", "models/gone", "../gone", "owner/name/more", "hf:", "x" * 300):
        shown = name if len(name) < 20 else "a name of 300 characters"
        yield Case(f"model {shown!r}", "model", (*LOAD, name), "model|too long", linked())
