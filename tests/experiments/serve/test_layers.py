"""Every layer has a direction; the gate's own is the analysis' or the one that acts best."""

from dataclasses import replace

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.gates.select import Candidate
from experiments.analyze.written import candidate_json
from experiments.runs import files
from experiments.runs.stages import Stages
from experiments.serve import answering, layers
from experiments.serve.answering import Asked


def last(job):
    return list(job)[-1]


def test_every_layer_is_fitted_and_the_best_is_the_gate(subject):
    n = subject.model.runner.shape.n_layers
    assert list(subject.layers) == list(range(n))
    assert subject.layers[subject.direction.site.layer].direction is subject.direction
    assert subject.at(None) is subject.direction
    with pytest.raises(UserError, match="layer: expected one of"):
        subject.at(n)


def test_another_layer_is_read_and_edited(subject):
    own = subject.direction.site.layer
    other = (own + 1) % len(subject.layers)
    asked = Asked(tiny.TEXTS[1], "trigger", 0.0, length=3)
    same = last(answering.answering(subject, replace(asked, layer=own)))
    assert same == last(answering.answering(subject, asked))
    found = last(answering.answering(subject, replace(asked, layer=other)))
    direction = subject.at(other)
    zero = -direction.clean_mean / direction.gap
    assert [t.reading for t in found.prompts[1]] == pytest.approx(
        [zero] * len(found.prompts[1]), abs=1e-3
    )
    assert found.prompts != same.prompts


def kept_by_type(folder, scored):
    Stages(folder).keep("selection", tuple[Candidate, ...], lambda: scored)


def kept_as_rows(folder, scored):
    """As analyses kept them before."""
    stages = folder / "stages"
    vectors = torch.stack([one.direction.vector for one in scored])
    files.write_json(stages / "selection.json", [candidate_json(one) for one in scored])
    files.write_tensors(stages / "selection.safetensors", {"vectors": vectors}, {})


@pytest.mark.parametrize("keep", [kept_by_type, kept_as_rows])
def test_of_a_run_the_best_of_each_layer_and_the_chosen_at_its_own(subject, tmp_path, keep):
    scored = tuple(
        replace(
            one,
            direction=replace(one.direction, estimator=name, vector=one.direction.vector.clone()),
            necessity=score,
            sufficiency=score,
        )
        for one in subject.layers.values()
        for name, score in (("weak", 0.1), ("strong", 0.9))
    )
    keep(tmp_path, scored)
    chosen = replace(subject.direction, estimator="weak")
    found = layers.of_run(tmp_path, chosen)
    assert list(found) == list(subject.layers)
    for layer, one in found.items():
        at_own = layer == chosen.site.layer
        assert one.direction.estimator == ("weak" if at_own else "strong")
    assert torch.equal(found[chosen.site.layer].direction.vector, chosen.vector)
    assert layers.of_run(tmp_path / "nowhere", chosen) == {}
    assert layers.of_run(tmp_path, None) == {}
