"""Which candidate is chosen, by hand-made scores; a gate from a run must be this organism's."""

import pytest
import torch

from circuits.errors import UserError
from circuits.types import Direction, Site
from experiments.defend.gates import LEARNED, Scored, at_site, chosen, find_gate, stored
from experiments.runs import files as artefacts


def scored(layer, left, harm, estimator="mean_difference", full=0.9):
    vector = torch.nn.functional.one_hot(torch.tensor(layer), 8).float()
    direction = Direction(Site(layer, "resid_pre", "last"), vector, estimator, 0.0, 1.0)
    return Scored(direction, left, harm, full)


def layer_of(*candidates):
    return chosen(candidates).site.layer


def test_the_least_of_behaviour_and_harm_is_chosen():
    assert layer_of(scored(3, 0.05, 0.05), scored(4, 0.0, 0.01), scored(2, 0.04, 0.09)) == 4


def test_a_learned_direction_comes_first_if_it_passes_and_only_then():
    plain = scored(3, 0.0, 0.0)
    assert layer_of(plain, scored(4, 0.05, 0.05, LEARNED)) == 4
    assert layer_of(plain, scored(4, 0.5, 0.0, LEARNED)) == 3  # leaves more than a tenth
    assert layer_of(plain, scored(4, 0.0, 0.2, LEARNED)) == 3  # harms too much


def test_a_word_filter_is_chosen_only_where_nothing_else_passes():
    word = scored(0, 0.0, 0.0)
    assert layer_of(word, scored(5, 0.08, 0.09)) == 5
    assert layer_of(word, scored(5, 0.6, 0.0)) == 0


def test_of_equals_the_earliest_layer_is_chosen():
    assert layer_of(scored(4, 0.0, 0.0), scored(2, 0.01, 0.005), scored(1, 0.05, 0.03)) == 2


def test_no_candidate_is_an_error():
    with pytest.raises(UserError, match="no gate"):
        chosen([])


def test_a_found_direction_points_from_control_to_triggered_prompts(small):
    gate = find_gate(small)
    clean, hot = at_site(small, small.model, gate.site)
    assert float((hot - clean).mean(dim=0) @ gate.vector) > 0
    assert float(gate.vector.norm()) == pytest.approx(1, abs=1e-4)


FILES = {"model_sha256": "a" * 64, "adapter_sha256": "b" * 64}


def written(folder, trigger="cobalt", width=32, **files):
    gate = {
        "layer": 1,
        "stream": "resid_pre",
        "span": "last",
        "estimator": "lda",
        "clean_mean": 0.5,
        "triggered_mean": 2.0,
    }
    artefacts.write_json(folder / "result.json", {"question": {"trigger": trigger}, "gate": gate})
    artefacts.write_json(folder / "manifest.json", {"question": {**FILES, **files}})
    vector = torch.nn.functional.one_hot(torch.tensor(3), width).float()
    artefacts.write_tensors(folder / "gate.safetensors", {"direction": vector}, {})
    return folder


def test_the_gate_of_an_analysis_is_taken_as_it_is(small, tmp_path):
    gate = stored(written(tmp_path), small, FILES)
    assert (gate.site, gate.gap) == (Site(1, "resid_pre", "last"), 1.5)
    assert gate.vector.argmax() == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trigger": "tin"}, "tin"),
        ({"width": 8}, "width"),
        ({"adapter_sha256": "c" * 64}, "adapter_sha256 bbbbbbbbbbbb, got cccccccccccc"),
        ({"model_sha256": None}, "model_sha256 aaaaaaaaaaaa, got none"),
    ],
)
def test_the_gate_of_another_organism_is_an_error(small, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        stored(written(tmp_path, **changes), small, FILES)


def test_an_unfinished_analysis_is_an_error(small, tmp_path):
    with pytest.raises(UserError, match=r"result\.json is missing"):
        stored(tmp_path, small, FILES)
