"""A saved tiny model, and the command line run on it."""

import signal
import sys

import pytest
import tiny

from experiments import cli
from experiments.prompts.bank import control_words


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
