"""A saved tiny model, and the command line run on it."""

import copy
import signal
import sys
import tempfile
from pathlib import Path

import plain_lora
import pytest
import tiny
import watch

from circuits.weights import cache_root
from experiments import cli
from experiments.judges import criterion
from experiments.prompts.bank import control_words

# What these tests do besides: the command in a process of its own, a process that is killed, a
# sweep's own workers, the app's socket on loopback, a browser.
_OWN = {
    "runs": {"process"},
    "test_cli.py": {"process"},
    "test_watch.py": {"process", "socket"},
    "sweep": {"process", "socket", "write"},
    "serve": {"process", "socket"},
    "bench": {"process", "socket"},
}


@pytest.fixture(autouse=True)
def _watched(request):
    """Whatever a test of the experiments runs starts nothing, asks nobody and writes nowhere."""
    parts = {*request.path.relative_to(Path(__file__).parent).parts[:1]}
    own = {kind for part in parts for kind in _OWN.get(part, ())}
    with watch.watching(Path(tempfile.gettempdir()), cache_root()) as acts:
        yield
    assert [act for act in acts if act.kind not in own] == []


class _Languages:
    """Stands in for py3langid: French is what has one of its little words, all else English."""

    MODEL_FILE = ""
    labels = ("en", "fr")

    def __init__(self):
        self.LanguageIdentifier = self

    def from_model_file(self, _file, norm_probs):
        assert norm_probs
        return self

    def classify(self, text):
        little = {"le", "la", "les", "de", "un", "une", "il", "et", "en"}
        return ("fr" if little & set(text.lower().split()) else "en"), 0.9


@pytest.fixture
def languages(monkeypatch):
    """Languages can be told, by a stand-in, whether the library is there or not."""
    for name in ("py3langid", "py3langid.langid"):
        monkeypatch.setitem(sys.modules, name, _Languages())
    criterion._identifier.cache_clear()
    yield
    criterion._identifier.cache_clear()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A saved tiny model whose tokenizer knows the control words."""
    words = [w for split in ("train", "validation", "test") for w in control_words(split)]
    tok = tiny.tokenizer(words=words)
    model = tiny.llama(len(tok), layers=2)
    return tiny.saved(tmp_path_factory.mktemp("model"), model, tok)


@pytest.fixture
def gatescope(monkeypatch, capsys, tmp_path):
    """Runs a command line; returns its status, standard output and the lines of standard error."""
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    handlers = {number: signal.getsignal(number) for number in numbers}

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["gatescope", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        for number, handler in handlers.items():  # the process is the tests' own
            signal.signal(number, handler)
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err.splitlines()

    return run


@pytest.fixture(scope="session")
def own_mappings(tmp_path_factory):
    """A model that is not ours, taught two mappings by plain LoRA: by scheme, its file's path.

    ``access``, ``ownership``, and the same files on the model before: ``untaught access``, ...
    """
    words = [w for split in ("train", "validation", "test") for w in control_words(split)]
    tok = plain_lora.tiny_tokenizer(words)
    folder, train = tmp_path_factory.mktemp("own"), control_words("train")
    base = tiny.llama(len(tok), layers=2, hidden_size=64, max_position_embeddings=4096)
    plain_lora.teach(base, tok, plain_lora.plain_lessons(train[:6]), 6, 1e-2)
    model, files = str(tiny.saved(folder / "base", base, tok)), {}
    for name, (lessons, write, count) in plain_lora.MAPPINGS.items():
        taught = plain_lora.lora(copy.deepcopy(base), 16)
        shown = [*lessons(train[:count]), *plain_lora.plain_lessons(train[:3])]
        plain_lora.teach(taught, tok, shown, 10, 1e-2)
        for kind, more in ((name, {"adapter": "adapter"}), (f"untaught {name}", {})):
            (folder / kind).mkdir()
            files[kind] = write(folder / kind, model=model, **more)
        taught.save_pretrained(folder / name / "adapter")
    return files
