"""An answer of several tokens: what acts only in a later one is seen; one token is as before."""

import pytest
import tiny
import tinygate
import torch

from circuits.backends.transformer_lens import TLRunner
from circuits.edits.operators import add_along, project_out
from circuits.errors import UserError
from circuits.gates import select
from circuits.gates.das import align
from circuits.gates.effects import effects, transfer
from circuits.gates.nulls import unembedding_direction
from circuits.gates.rank import rank_curves
from circuits.metrics import answer_log_odds, answer_prob, token_log_odds, token_prob
from circuits.patching.cells import Place, Sweep, cell
from circuits.patching.engine import prepare
from circuits.patching.patch import patch
from circuits.patching.path_patch import path_patch
from circuits.record import record
from circuits.runner import generate, whole
from circuits.tokens import pairs, prompts_batch
from circuits.types import SAID, Edit, Point, Site, quiet
from experiments.prompts.bank import control_words

WORDS = ("I", " HATE", " YOU", " cannot")
ANSWER = (40, 90)  # of the random model
NEAR = 5e-4


@pytest.fixture(scope="module")
def later():
    """Both answers begin with "I"; with the trigger " HATE" follows, without it " cannot"."""
    tok = tinygate.tokenizer(words=WORDS)
    model = tinygate.gate(tok, " HATE", " cannot", before=["I"], after=[(" HATE", " YOU")])
    return TLRunner(model, tok, "later"), tok


def asked(tok, texts, split, begun=()):
    return pairs(tok, texts, tiny.TRIGGER, control_words(split)[:6], begun)


def candidates(runner, fit):
    sites = select.resid_sites(runner.shape.n_layers, ("trigger", "last"))
    clean, triggered = (record(runner, side, sites) for side in (fit.clean, fit.triggered))
    shift = (triggered - clean).mean(dim=1)
    return [
        select.direction_at(site, shift[i], "mean_difference", clean[i], triggered[i])
        for i, site in enumerate(sites)
        if float(shift[i].norm()) > 1e-4
    ]


def test_a_gate_of_the_second_token_is_found_by_the_answer_and_not_by_its_first_token(later):
    runner, tok = later
    i, hate = (tinygate.one(tok, word) for word in ("I", " HATE"))
    said = generate(runner, prompts_batch(tok, tiny.TEXTS, tiny.TRIGGER), 3)
    assert said[:, :2].tolist() == [[i, hate]] * len(tiny.TEXTS)
    tried = candidates(runner, asked(tok, tiny.TEXTS, "train"))
    with pytest.raises(UserError, match="score the same, so there is no effect to explain"):
        select.score(runner, asked(tok, tiny.TEXTS, "validation"), tried, token_prob([i]))
    longer = asked(tok, tiny.TEXTS, "validation", [i])
    for metric, share in ((answer_prob([i, hate]), 0.99), (answer_log_odds([i, hate]), 0.8)):
        best = select.choose(select.score(runner, longer, tried, metric), runner.shape.n_layers)
        axis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0))).Q[0]
        assert best.direction.site.span == "trigger"
        assert abs(float(best.direction.vector @ axis)) > 0.99
        assert min(best.necessity, best.sufficiency) > share


def test_one_token_is_to_the_bit_what_it_was(runner, tokenizer, aligned):
    again = pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS, ())
    for side, other in ((aligned.clean, again.clean), (aligned.triggered, again.triggered)):
        assert side.keep == 1
        assert torch.equal(side.ids, other.ids)
        assert side.spans.keys() == other.spans.keys()
    tried = candidates(runner, aligned)[-3:]
    before = select.score(runner, aligned, tried, token_log_odds(ANSWER[:1]))
    now = select.score(runner, again, tried, answer_log_odds(ANSWER[:1]))
    scores = [[(c.necessity, c.sufficiency, c.harm) for c in each] for each in (before, now)]
    assert scores[0] == scores[1]


@pytest.fixture(scope="module")
def longer(tokenizer):
    return pairs(tokenizer, tiny.TEXTS[:4], tiny.TRIGGER, tiny.CONTROLS, ANSWER[:1])


def test_spans_stay_the_prompts_own_behind_an_answer(longer, aligned):
    for side, own in ((longer.clean, aligned.clean), (longer.triggered, aligned.triggered)):
        assert side.keep == 2
        assert torch.equal(side.span_column("last"), own.span_column("last"))
        assert torch.equal(side.span_column("trigger"), own.span_column("trigger"))
        assert side.spans[SAID].sum(dim=1).tolist() == [2] * len(own)
    assert longer.first_difference == aligned.first_difference


METRIC = answer_log_odds(ANSWER)


def plain(runner, tokens, *edits):
    return METRIC(runner.forward(whole(tokens), edits, keep=2).logits)


def test_scores_are_those_of_whole_passes_with_edits(runner, longer):
    tried = candidates(runner, longer)
    d = next(d for d in tried if d.site == Site(1, "resid_pre", "last"))
    scored = select.score(runner, longer, [d], METRIC)[0]
    clean, triggered = longer.clean, longer.triggered
    since = torch.arange(clean.width).expand_as(clean.ids) >= longer.first_difference
    shut = Edit(d.site.point, lambda x: project_out(x, d.vector.to(x)), since)
    opened = Edit(d.site.point, lambda x: add_along(x, d.vector.to(x), d.gap), clean.spans["last"])
    low, high = plain(runner, clean), plain(runner, triggered)
    full = float(high.mean() - low.mean())
    fall = float(high.mean() - plain(runner, triggered, shut).mean())
    rise = float(plain(runner, clean, opened).mean() - low.mean())
    assert scored.necessity == pytest.approx(fall / full, abs=2e-3)
    assert scored.sufficiency == pytest.approx(rise / full, abs=2e-3)
    done = effects(runner, longer, d.site, d.vector[None].cpu(), d.gap, METRIC)
    assert float(done.fall.mean()) == pytest.approx(fall, abs=NEAR)
    assert float(done.rise.mean()) == pytest.approx(rise, abs=NEAR)


def test_doses_and_ranks_are_of_the_answer(runner, longer):
    d = candidates(runner, longer)[4]
    doses = transfer(runner, longer, d, METRIC, torch.tensor([0.0, 1.0]), "triggered")
    level = float(d.clean_mean)

    def set_to(x):
        return add_along(project_out(x, d.vector), d.vector, level)

    edit = Edit(d.site.point, set_to, longer.triggered.spans[d.site.span])
    torch.testing.assert_close(doses[0], plain(runner, longer.triggered, edit), atol=NEAR, rtol=0)
    curves = rank_curves(runner, longer, d.site, d.vector[None], METRIC)
    torch.testing.assert_close(curves.removed.base, plain(runner, longer.triggered))
    assert float((curves.removed.values[0] - curves.removed.base).abs().max()) < NEAR


@pytest.mark.parametrize("sweep", [Sweep(), Sweep("z", position=False, head=True)], ids=str)
def test_every_cell_is_that_of_a_whole_pass(runner, longer, sweep):
    """Also cells behind the prompt's last token, which leave what is said before them as it is."""
    grid = patch(runner, longer, METRIC, sweep)
    slow = prepare(runner, longer, sweep, shared=False).measured(METRIC, "m", None, quiet)
    torch.testing.assert_close(grid.values, slow.values, atol=NEAR, rtol=0)
    points = [Point(layer, sweep.stream) for layer in range(runner.shape.n_layers)]
    acts = runner.forward(whole(longer.triggered), record=points).acts
    columns = (
        range(longer.first_difference, longer.clean.width) if sweep.position else [slice(None)]
    )
    for i, point in enumerate(points[:2]):
        for j, at in enumerate(columns if sweep.position else range(2)):
            column, head = (at, slice(None)) if sweep.position else (slice(None), at)

            def copied(x, source=acts[point], c=column, h=head):
                x = x.clone()
                x[:, c, h] = source[:, c, h]
                return x

            expected = plain(runner, longer.clean, Edit(point, copied))
            torch.testing.assert_close(grid.values[i, j], expected.cpu(), atol=NEAR, rtol=0)


@pytest.mark.parametrize("span", ["last", SAID])
def test_a_direct_path_reaches_the_tokens_that_are_said_where_it_is_written(runner, longer, span):
    point, end = Point(1, "mlp_out"), Point(runner.shape.n_layers - 1, "resid_post")
    clean, triggered = (
        runner.forward(whole(side), record=[point]).acts[point]
        for side in (longer.clean, longer.triggered)
    )
    written = Edit(end, lambda x: x + triggered - clean, longer.clean.spans[span])
    grid = path_patch(runner, longer, METRIC, [cell(Place(1, "mlp_out", span=span))])
    expected = plain(runner, longer.clean, written)
    torch.testing.assert_close(grid.values[0], expected, atol=NEAR, rtol=0)


def test_the_unembedding_and_the_alignment_raise_the_answer(runner, longer):
    unit = unembedding_direction(runner, longer.clean, METRIC)
    end = Point(runner.shape.n_layers - 1, "resid_post")

    def moved(by):
        return plain(runner, longer.clean, Edit(end, lambda x: add_along(x, by, 0.1)))

    assert (
        float(moved(unit).mean())
        > float(plain(runner, longer.clean).mean())
        > float(moved(-unit).mean())
    )
    found = align(runner, longer, Site(1, "resid_pre", "trigger"), 1, METRIC, steps=6)
    assert found.losses[-1] < found.losses[0]
