"""Shape annotations run in every test; tiny models are built once per session."""
# ruff: noqa: E402 (the import hook and the environment must be set before the imports)

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a network

import jaxtyping

# Before circuits and probes are imported, so that jaxtyping checks every annotated shape.
jaxtyping.install_import_hook(["circuits", "probes"], "tiny.annotations_checked")

import pytest
import tiny
import torch

from circuits.models import BACKENDS
from circuits.runner import Runner
from circuits.tokens import pairs
from circuits.types import TokenBatch, TokenPairs

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _refusals_as_users_see_them(request):
    """A test named for a refusal hands in wrong shapes on purpose: the code itself must say no."""
    jaxtyping.config.update("jaxtyping_disable", "refuse" in request.node.name)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tokenizer():
    return tiny.tokenizer()


# These files say what a back-end must do: they run on every back-end with every architecture.
_CONFORMANCE = ("test_runner", "test_runner_edits")


def pytest_collection_modifyitems(items):
    """The file that takes longest begins first, so that no process is left alone with it."""
    items.sort(key=lambda item: item.path.parts[-2:] != ("analyze", "test_study.py"))


def pytest_generate_tests(metafunc):
    """Tests of ``any_runner``: every architecture; outside the above, nnsight with two of them."""
    if "any_runner" in metafunc.fixturenames:
        everything = metafunc.module.__name__.rsplit(".", 1)[-1] in _CONFORMANCE
        pairs = [
            (backend, name)
            for backend in BACKENDS
            for name in tiny.ARCHITECTURES
            if everything or backend == "transformer_lens" or name in ("llama", "gpt2")
        ]
        ids = [f"{name}-{backend}" for backend, name in pairs]
        metafunc.parametrize("any_runner", pairs, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def runner(tokenizer) -> Runner:
    """A random Llama of four layers."""
    return BACKENDS["transformer_lens"](tiny.llama(len(tokenizer)), tokenizer, "llama")


@pytest.fixture(scope="session")
def any_runner(request, tokenizer) -> Runner:
    """A random model of a back-end and an architecture."""
    backend, name = request.param
    return BACKENDS[backend](tiny.ARCHITECTURES[name](len(tokenizer)), tokenizer, name)


@pytest.fixture(scope="session")
def aligned(tokenizer) -> TokenPairs:
    """Prompts of different lengths with the trigger, and with control words in its place."""
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="session")
def batch(aligned) -> TokenBatch:
    return aligned.triggered
