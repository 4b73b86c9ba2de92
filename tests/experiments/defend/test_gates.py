"""Which candidate is chosen, by hand-made scores; a gate from a run must be this organism's."""

import finished
import pytest
import torch

from circuits.errors import UserError
from circuits.types import Direction, Site
from experiments.defend.gates import LEARNED, Scored, at_site, chosen, find_gate, stored


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


def written(folder, trigger="cobalt", width=32, result=None, **hashes):
    vector = torch.nn.functional.one_hot(torch.tensor(3), width).float()
    question = {**FILES, "trigger": trigger, **hashes}
    return finished.analysis(folder, question, vector, **(result or {}))


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
        ({"model_sha256": 3}, "model_sha256 aaaaaaaaaaaa, got 3"),
        ({"trigger": ["cobalt"]}, "trigger 'cobalt', got"),
        ({"result": {"gate": {**finished.GATE, "layer": 9}}}, r"got 'resid_pre\[9\] at last'"),
        ({"result": {"gate": {**finished.GATE, "layer": -1}}}, r"got 'resid_pre\[-1\] at last'"),
        ({"result": {"gate": {**finished.GATE, "stream": "z"}}}, r"got 'z\[1\] at last'"),
        ({"result": {"gate": {**finished.GATE, "span": "\x1b"}}}, r"at \\x1b'"),
        ({"result": {"gate": {**finished.GATE, "layer": "1"}}}, "layer: expected `int`"),
        ({"result": {"gate": {"layer": 1}}}, "expected a field"),
        ({"result": {"gate": [1]}}, "expected an object"),
        ({"result": {"gate": None}}, "expected a result with a gate"),
        ({"result": {"schema": "gatescope.analysis/9"}}, "expected schema gatescope.analysis/2"),
        ({"result": {"question": 3}}, "expected question, got 3"),
    ],
)
def test_the_gate_of_another_organism_is_an_error(small, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        stored(written(tmp_path, **changes), small, FILES)


def test_what_is_no_finished_analysis_is_an_error(small, tmp_path):
    with pytest.raises(UserError, match=r"without manifest\.json"):
        stored(tmp_path, small, FILES)
    with pytest.raises(UserError, match="nothing of that name"):
        stored(tmp_path / "gone", small, FILES)
    (tmp_path / "report.html").write_text("<html>")
    with pytest.raises(UserError, match="got a file; name the directory"):
        stored(tmp_path / "report.html", small, FILES)
    with pytest.raises(UserError, match="of kind analysis, got 'scan'"):
        stored(finished.manifest(tmp_path / "scan", "scan"), small, FILES)
    with pytest.raises(UserError, match="finish it: gatescope analyze"):
        stored(finished.manifest(tmp_path / "half"), small, FILES)
