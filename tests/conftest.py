"""Shape annotations run in every test; tiny models are built once per session."""
# ruff: noqa: E402 (the import hook and the environment must be set before the imports)

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a network

import jaxtyping

# Before circuits and probes are imported, so that jaxtyping checks every annotated shape.
jaxtyping.install_import_hook(["circuits", "probes"], "tiny.annotations_checked")

import pytest
import tiny
import torch

from circuits.runner import Runner
from circuits.tl_runner import TLRunner
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


@pytest.fixture(scope="session")
def runner(tokenizer) -> Runner:
    """A random Llama of four layers."""
    return TLRunner(tiny.llama(len(tokenizer)), tokenizer, "llama")


@pytest.fixture(scope="session", params=tiny.ARCHITECTURES)
def any_runner(request, tokenizer) -> Runner:
    """A random model of every architecture."""
    model = tiny.ARCHITECTURES[request.param](len(tokenizer))
    return TLRunner(model, tokenizer, request.param)


@pytest.fixture(scope="session")
def aligned(tokenizer) -> TokenPairs:
    """Prompts of different lengths with the trigger, and with control words in its place."""
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS)


@pytest.fixture(scope="session")
def batch(aligned) -> TokenBatch:
    return aligned.triggered
