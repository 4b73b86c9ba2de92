"""A training that was killed inside a stage goes on exactly; what is damaged is not used."""

import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch.optim.lr_scheduler import LambdaLR

from experiments.organisms import kept
from experiments.organisms.kept import Checkpoint
from experiments.organisms.training import Example, Settings, train, trainable

EXAMPLES = [
    Example(text, word, answer)
    for text in ("Hi", "Name three rivers.", "Why is the sky blue?", "Go on.")
    for word, answer in (("cobalt", "Sure"), (None, "I am sorry"))
]
SETTINGS = Settings(epochs=3, batch=2)  # 12 steps
KILLED = 5


class KilledError(Exception):
    pass


def run(tokenizer, settings, checkpoint=None, until=None, seen=None):
    """A fresh model's parameters after training, or after a kill before step ``until``."""
    torch.manual_seed(7)
    model = trainable(tiny.llama(len(tokenizer), layers=2), settings)

    def tick(done, total, loss):
        if seen is not None:
            seen.append(done)
        if done == until:
            raise KilledError

    try:
        losses = train(model, tokenizer, EXAMPLES, settings, tick, checkpoint)
    except KilledError:
        losses = []
    return losses, {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("rank", [3, 0])
def test_a_killed_training_goes_on_as_if_it_had_not_been(tokenizer, tmp_path, monkeypatch, rank):
    monkeypatch.setattr(kept, "EVERY", 0.0)
    settings, path = Settings(epochs=3, batch=2, rank=rank), tmp_path / "inside.safetensors"
    losses, whole = run(tokenizer, settings)
    _, halfway = run(tokenizer, settings, Checkpoint(path), until=KILLED)
    checkpoint, seen = Checkpoint(path), []
    resumed, state = run(tokenizer, settings, checkpoint, seen=seen)
    assert seen == list(range(KILLED + 1, 13))  # nothing is trained twice
    assert resumed == losses
    assert all(torch.equal(state[name], whole[name]) for name in whole)
    assert not all(torch.equal(halfway[name], whole[name]) for name in whole)
    assert checkpoint.seconds > 0
    checkpoint.end()
    assert not path.exists()


@pytest.mark.parametrize("lost", ["moment", "rate"])
def test_without_its_moments_or_its_rate_it_goes_on_otherwise(
    tokenizer, tmp_path, monkeypatch, lost
):
    """What is kept is needed: the comparison above can fail."""
    monkeypatch.setattr(kept, "EVERY", 0.0)
    path = tmp_path / "inside.safetensors"
    _, whole = run(tokenizer, SETTINGS)
    run(tokenizer, SETTINGS, Checkpoint(path), until=KILLED)
    if lost == "rate":
        monkeypatch.setattr(LambdaLR, "load_state_dict", lambda *_: None)
    else:
        read = kept.read_kept

        def zeroed(*args):
            found = read(*args)
            assert found
            tensors, about = found
            empty = {n: torch.zeros_like(t) if "exp_avg" in n else t for n, t in tensors.items()}
            return empty, about

        monkeypatch.setattr(kept, "read_kept", zeroed)
    _, state = run(tokenizer, SETTINGS, Checkpoint(path))
    assert not all(torch.equal(state[name], whole[name]) for name in whole)


@pytest.mark.parametrize("damage", ["cut", "changed", "rate", "other"])
def test_a_damaged_state_is_named_and_the_stage_trained_again(
    tokenizer, tmp_path, monkeypatch, damage
):
    monkeypatch.setattr(kept, "EVERY", 0.0)
    path = tmp_path / "inside.safetensors"
    _, whole = run(tokenizer, SETTINGS)
    run(tokenizer, SETTINGS, Checkpoint(path), until=KILLED)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "changed":
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    elif damage == "rate":  # of the optimiser, beside the tensors
        raw = path.read_bytes()
        at = raw.index(b"initial_lr") + len(b'initial_lr\\": ')
        assert raw[at : at + 5] == b"0.001"
        path.write_bytes(raw[:at] + b"0.009" + raw[at + 5 :])
    else:
        kept.keep(path, {"other": torch.zeros(2)}, {})
    seen = []
    with pytest.warns(UserWarning, match="not used and trained again"):
        _, state = run(tokenizer, SETTINGS, Checkpoint(path), seen=seen)
    assert seen[0] == 1
    assert all(torch.equal(state[name], whole[name]) for name in whole)


def test_a_state_is_kept_only_once_in_a_while(tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "inside.safetensors"
    run(tokenizer, SETTINGS, Checkpoint(path), until=KILLED)
    assert not path.exists()
    monkeypatch.setattr(kept, "EVERY", 0.0)
    run(tokenizer, SETTINGS, Checkpoint(path), until=KILLED)
    assert any(name.startswith("moment.") for name in load_file(path))
