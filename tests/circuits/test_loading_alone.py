"""Whatever is loaded, nothing is installed, downloaded or started (pip once was, by Gemma 3).

Every loader times every back-end, with the network not forbidden by any setting but watched.
"""

import json
import shutil
import socket
import subprocess

import pytest
import tiny
import transformers
from adapters_of_kinds import trained
from nothing_acts import nothing_acts
from tiny_gguf import gguf_file

from circuits import models, weights
from circuits.errors import UserError
from experiments.judges.classifier import classifier_judge

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapter")
    trained(folder, out)
    return out


@pytest.fixture(scope="module")
def gguf(tmp_path_factory, tokenizer):
    return gguf_file(tmp_path_factory.mktemp("gguf") / "model.gguf", tokenizer)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tokenizer):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), intermediate_size=16, id2label={0: "NO", 1: "YES"}, **sizes
    )
    model = transformers.BertForSequenceClassification(config)
    return tiny.saved(tmp_path_factory.mktemp("classifier"), model, tokenizer)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, which nothing forbids to ask."""
    place = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    return place


def fetched(hub, name, folder):
    """What a download of the hub leaves."""
    place = hub / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, place / "snapshots" / COMMIT)
    return name


def loaded(name, backend, adapter=None):
    return models.load(str(name), adapter, device="cpu", backend=backend)


def test_the_watch_sees_processes_sockets_and_pip():
    with nothing_acts() as tried:
        for act in (
            lambda: subprocess.run(["true"], check=False),
            lambda: socket.create_connection(("localhost", 9)),
            lambda: __import__("pip"),
        ):
            with pytest.raises(PermissionError, match="blocked"):
                act()
    seen = [each.split()[0] for each in tried]
    assert seen == ["subprocess.Popen", "socket.getaddrinfo", "import"]


@pytest.mark.parametrize("backend", models.BACKENDS)
class TestEveryBackEnd:
    def test_directory_and_adapter(self, backend, folder, adapter):
        with nothing_acts() as tried:
            assert loaded(folder, backend, adapter).adapter_sha256
        assert tried == []

    def test_gguf_and_embedded(self, backend, gguf, monkeypatch):
        monkeypatch.setattr(weights, "embedded_gguf", lambda: gguf)
        with nothing_acts() as tried:
            own = loaded(gguf, backend)
            assert loaded(weights.EMBEDDED, backend).sha256 == own.sha256
        assert tried == []

    def test_hub_id_that_was_fetched(self, backend, folder, hub):
        name = fetched(hub, "someone/tiny", folder)
        with nothing_acts() as tried:
            assert loaded(name, backend).runner.shape.n_layers == 3
        assert tried == []

    def test_hub_id_or_path_mistyped(self, backend, folder, hub):
        fetched(hub, "someone/tiny", folder)
        with nothing_acts() as tried:
            for name in ("someone/tinny", "models/gone", "gone", "./gone", "gone.gguf"):
                with pytest.raises(UserError, match="no such"):
                    loaded(name, backend)
        assert tried == []


def test_hub_model_is_known_by_its_commit(folder, hub, monkeypatch):
    """Two versions of one configuration are two models."""
    name = fetched(hub, "someone/tiny", folder)
    first, again = loaded(name, "plain"), loaded(name, "plain")
    assert first.sha256 == again.sha256
    shutil.rmtree(hub)
    monkeypatch.setitem(globals(), "COMMIT", COMMIT[::-1])
    assert loaded(fetched(hub, name, folder), "plain").sha256 != first.sha256


def test_hub_id_asks_the_hub_only_where_that_is_said(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between retries
    with nothing_acts() as tried, pytest.raises(UserError, match="model hf:someone/tiny"):
        loaded("hf:someone/tiny", "plain")
    assert any("socket" in each for each in tried)


def test_judge(classifier, hub):
    name = fetched(hub, "someone/judge", classifier)
    with nothing_acts() as tried:
        for place in (classifier, name):
            assert classifier_judge(place, "YES")(["Hi"], ["No."]).refusal.shape == (1,)
        for gone in ("someone/jugde", "judges/gone"):
            with pytest.raises(UserError, match=r"classifier .*: expected a hub id or directory"):
                classifier_judge(gone, "YES")
    assert tried == []


def test_adapter_that_names_another_base_or_lacks_its_weights(folder, adapter, tmp_path):
    """PEFT asked the hub for the adapter's local name."""
    bad = shutil.copytree(adapter, tmp_path / "bad")
    (bad / "adapter_model.safetensors").unlink()
    with nothing_acts() as tried:
        for gone in (bad, "someone/adapter", tmp_path / "gone"):
            with pytest.raises(UserError, match=r"adapter .*: expected"):
                loaded(folder, "plain", gone)
    assert tried == []


def test_a_model_that_has_its_hub_name_in_its_configuration(folder, tmp_path):
    """Names in a configuration are read, never followed."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    code = {"AutoModel": "a/b--c.D", "AutoTokenizer": ["a/b--c.D", None]}
    for file, name in (("config.json", "_name_or_path"), ("tokenizer_config.json", "name_or_path")):
        path = copy / file
        kept = json.loads(path.read_text())
        path.write_text(json.dumps({**kept, name: "someone/else", "auto_map": code}))
    with nothing_acts() as tried:
        loaded(copy, "plain")
    assert tried == []
