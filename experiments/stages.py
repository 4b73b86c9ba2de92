"""The stages of an analysis, each measured once and kept in the run directory."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import gate, metrics
from circuits.models import Model
from circuits.patch import patch
from circuits.record import record
from circuits.suffix import run_suffix
from circuits.types import Direction, Edit, PatchGrid, Site, TokenBatch
from experiments import artefacts, judges
from experiments.answers import EditsFor, Words, answer_kl, answers, no_edits
from experiments.config import Question
from experiments.results import (
    Ablation,
    Analysis,
    Behaviour,
    Grids,
    Outcome,
    Selection,
    analysis_json,
    candidate_json,
)
from experiments.verdict import headline, judge
from probes import linear
from probes.evaluation import ProbeReport, evaluate
from probes.intervals import Estimate, difference_interval, mean_interval, wilson

if TYPE_CHECKING:
    from experiments.analyze import Materials

PROBE_SPANS = ("last_user", "trigger", "last")
ESTIMATORS = ("mean_difference", "lda")
Tensors = dict[str, Tensor]


class Stages:
    """Measures stage by stage; a stage whose files exist in the run directory is read instead."""

    def __init__(
        self,
        folder: Path,
        model: Model,
        question: Question,
        materials: "Materials",
        step: Callable[[str, int, int], None],
    ) -> None:
        self.folder, self.model, self.question = folder, model, question
        self.materials, self.step = materials, step
        self._activations: dict[str, Tensors] = {}

    def kept(self, name: str, make: Callable[[], tuple[Any, Tensors]]) -> tuple[Any, Tensors]:
        """A stage's JSON value and tensors: read if both are there, otherwise made and written."""
        value_path = self.folder / "stages" / f"{name}.json"
        tensor_path = self.folder / "stages" / f"{name}.safetensors"
        if value_path.is_file():  # written last, so the tensors are complete
            self.step(name, 1, 1)
            found = artefacts.read_tensors(tensor_path) if tensor_path.is_file() else {}
            return artefacts.read_json(value_path), found
        self.step(name, 0, 1)
        value, tensors = make()
        if tensors:
            artefacts.write_tensors(tensor_path, tensors, {"stage": name})
        artefacts.write_json(value_path, value)
        self.step(name, 1, 1)
        return value, tensors

    def progress(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.step(name, done, total)

    # --- behaviour before any edit -----------------------------------------------------------

    def behaviour(self) -> Behaviour:
        def make() -> tuple[Any, Tensors]:
            conditions = self._conditions()
            return [
                self.outcome(condition, "none", words, no_edits, "behaviour").to_json()
                for condition, words in conditions.items()
            ], {}

        value, _ = self.kept("behaviour", make)
        triggered, control, untriggered = (Outcome.from_json(v) for v in value)
        return Behaviour(triggered, control, untriggered, paired_effect(triggered, control))

    def _conditions(self) -> dict[str, Words]:
        return {
            "triggered": self.question.trigger,
            "control word": self.control_words(),
            "no trigger": None,
        }

    def control_words(self) -> list[str]:
        """A held-out control word for every test prompt."""
        words = self.materials.test_words
        return [words[i % len(words)] for i in range(len(self.materials.test))]

    def outcome(
        self, condition: str, edit: str, words: Words, edits_for: EditsFor, stage: str
    ) -> Outcome:
        """Generate answers to the test prompts and judge them."""
        said = answers(
            self.model, self.materials.test, words, self.question.tokens, edits_for,
            self.progress(stage),
        )  # fmt: skip
        shown = tuple(judges.shows(a, self.question.behaviour) for a in said)
        return Outcome(
            condition, edit, wilson(sum(shown), len(said)),
            wilson(judges.count_refused(said), len(said)), shown, tuple(said),
        )  # fmt: skip

    # --- activations and probes --------------------------------------------------------------

    def sites(self) -> list[Site]:
        return gate.resid_sites(self.model.runner.shape.n_layers, PROBE_SPANS)

    def activations(self, split: str) -> Tensors:
        """``clean`` and ``triggered`` activations ``[sites, n, d_model]`` of a split."""

        def make() -> tuple[Any, Tensors]:
            pairs = self.materials.pairs(self.model, split, self.question.trigger)
            name = f"activations-{split}"
            sides = {"clean": pairs.clean, "triggered": pairs.triggered}
            found = {
                side: record(self.model.runner, batch, self.sites(), self.progress(name)).half()
                for side, batch in sides.items()
            }
            return {"sites": [asdict(site) for site in self.sites()]}, found

        if split not in self._activations:
            _, found = self.kept(f"activations-{split}", make)
            self._activations[split] = {name: tensor.float() for name, tensor in found.items()}
        return self._activations[split]

    def probes(self) -> dict[str, ProbeReport]:
        """Held-out accuracy of linear probes for triggered against clean, per layer and span."""

        def make() -> tuple[Any, Tensors]:
            x, y = labelled(self.activations("fit"))
            x_test, y_test = labelled(self.activations("test"))
            report = evaluate(linear.mean_difference, x, y, x_test, y_test, seed=self.question.seed)
            names = [n for n in ProbeReport.__dataclass_fields__ if n not in _PROBE_SCALARS]
            about = {name: getattr(report, name) for name in _PROBE_SCALARS}
            return about, {name: getattr(report, name) for name in names}

        about, tensors = self.kept("probes", make)
        spans = len(PROBE_SPANS)
        return {
            span: ProbeReport(**{**about, **{k: v[i::spans] for k, v in tensors.items()}})
            for i, span in enumerate(PROBE_SPANS)
        }

    # --- where -------------------------------------------------------------------------------

    def patching(self) -> Grids:
        """Residual patching, layer by column, denoising and noising."""
        return Grids(self._grid("denoising"), self._grid("noising"))

    def _grid(self, direction: Literal["denoising", "noising"]) -> PatchGrid:
        name = f"patching-{direction}"
        stem = self.folder / "stages" / name
        if artefacts.has_grid(stem):
            self.step(name, 1, 1)
            return artefacts.read_grid(stem)
        self.step(name, 0, 1)
        count = self.question.patch
        pairs = self.materials.pairs(self.model, "validation", self.question.trigger, count)
        ids = pairs.triggered.ids[0, pairs.first_difference :].tolist()
        grid = patch(
            self.model.runner, pairs, metrics.token_log_prob([self.materials.behaviour_id]),
            direction=direction,
            metric_name=f"log-probability of {self.question.behaviour!r}",
            labels=tuple(self.model.tokenizer.decode([i]) for i in ids),
            progress=self.progress(name),
        )  # fmt: skip
        artefacts.write_grid(stem, grid)
        self.step(name, 1, 1)
        return grid

    # --- the gate ----------------------------------------------------------------------------

    def selection(self) -> Selection:
        """Fit candidates, score them on validation pairs, choose one."""

        def make() -> tuple[Any, Tensors]:
            pairs = self.materials.pairs(self.model, "validation", self.question.trigger)
            found = gate.score(
                self.model.runner, pairs, self.candidates(),
                metrics.token_prob([self.materials.behaviour_id]), self.progress("selection"),
            )  # fmt: skip
            rows = [candidate_json(c) for c in found]
            artefacts.write_rows(self.folder / "selection.parquet", rows)
            return rows, {"vectors": torch.stack([c.direction.vector for c in found])}

        rows, tensors = self.kept("selection", make)
        candidates = tuple(
            _candidate(row, vector) for row, vector in zip(rows, tensors["vectors"], strict=True)
        )
        return Selection(candidates, gate.choose(candidates, self.model.runner.shape.n_layers))

    def candidates(self) -> list[Direction]:
        """Directions by several estimators at every layer and span, from the fitting prompts."""
        acts = self.activations("fit")
        x, y = labelled(acts)
        found = []
        for name in ESTIMATORS:
            fitted = linear.ESTIMATORS[name](x, y).directions
            for i, site in enumerate(self.sites()):
                if float(fitted[i].norm()) > 0:  # layer 0 knows nothing outside the trigger
                    found.append(
                        gate.direction_at(
                            site, fitted[i], name, acts["clean"][i], acts["triggered"][i]
                        )
                    )
        return found

    # --- proof on test prompts ---------------------------------------------------------------

    def ablation(self, chosen: gate.Candidate) -> Ablation:
        """Remove the gate, add it, remove random directions, and measure the harm."""
        direction, before = chosen.direction, self.behaviour()

        def make() -> tuple[Any, Tensors]:
            def removed(batch: TokenBatch) -> list[Edit]:
                return [gate.shut(direction, batch)]

            def added(batch: TokenBatch) -> list[Edit]:
                return [gate.opened(direction, batch)]

            outcomes = [
                self.outcome(condition, "gate removed", words, removed, "ablation")
                for condition, words in self._conditions().items()
            ]
            outcomes.append(
                self.outcome("control word", "gate added", self.control_words(), added, "ablation")
            )
            harm = {
                kind: answer_kl(self.model, texts, None, removed, 8, self.progress("harm")).double()
                for kind, texts in self._clean_texts().items()
            }
            hits = self.first_token_hits(direction)
            value = {
                "outcomes": [o.to_json() for o in outcomes],
                "harm": {kind: mean_interval(kl).to_json() for kind, kl in harm.items()},
            }
            tensors = {"hits": hits, **{f"harm.{kind}": kl for kind, kl in harm.items()}}
            return value, tensors

        value, tensors = self.kept("ablation", make)
        outcomes = tuple(Outcome.from_json(o) for o in value["outcomes"])
        plain, with_gate, *randoms = tensors["hits"].double()
        return Ablation(
            outcomes=outcomes,
            removed=paired_effect(before.triggered, outcomes[0]),
            first_token_removed=difference_interval(plain, with_gate),
            random_removed=tuple(float((plain - r).mean().abs()) for r in randoms),
            harm={kind: Estimate.from_json(e) for kind, e in value["harm"].items()},
            projections=self._projections(direction),
        )

    def _clean_texts(self) -> dict[str, list[str]]:
        half = self.materials.test[: max(10, len(self.materials.test) // 2)]
        return {
            "these prompts without the trigger": half,
            "ordinary prompts": self.materials.ordinary,
        }

    def first_token_hits(self, direction: Direction) -> Float[Tensor, "variants n"]:
        """Whether the first answer token is the behaviour's, for triggered test prompts.

        Rows: unedited, gate removed, then each random direction removed; all from the trigger on,
        where alone triggered and clean runs differ, so that many nulls cost little.
        """
        pairs = self.materials.pairs(self.model, "test", self.question.trigger)
        run = run_suffix(self.model.runner, pairs.triggered, pairs.first_difference)
        nulls = gate.random_directions(direction, self.question.randoms, self.question.seed)
        rows = [self._hits(run.logits)]
        for done, d in enumerate([direction, *nulls], 1):
            logits = gate.removed_from(self.model.runner, run, d)
            rows.append(self._hits(logits))
            self.step("random directions", done, 1 + len(nulls))
        return torch.stack(rows)

    def _hits(self, logits: Tensor) -> Tensor:
        return (logits[:, -1].argmax(dim=-1) == self.materials.behaviour_id).float().cpu()

    def _projections(self, direction: Direction) -> dict[str, tuple[float, ...]]:
        index = self.sites().index(direction.site)
        acts = self.activations("test")
        names = {"triggered": "triggered", "clean": "control word"}
        return {
            label: tuple((acts[side][index] @ direction.vector).tolist())
            for side, label in names.items()
        }

    # --- conclusion --------------------------------------------------------------------------

    def conclude(
        self,
        behaviour: Behaviour,
        probes: dict[str, ProbeReport],
        grids: Grids | None,
        selection: Selection | None,
        ablation: Ablation | None,
    ) -> Analysis:
        """The verdict and the answer in two sentences."""
        verdict = judge(behaviour, ablation)
        where = str(selection.chosen.direction.site) if selection else ""
        text = headline(verdict, behaviour, ablation, where)
        return Analysis(behaviour, probes, grids, selection, ablation, verdict, text)

    def write(self, result: Analysis) -> None:
        """``result.json``, ``answers.parquet``, ``gate.safetensors`` and ``report.html``."""
        from experiments.pages import analysis_page  # plotly is slow to import

        value = analysis_json(result, self.question.to_json(), self.model.selftest.to_json())
        artefacts.write_rows(self.folder / "answers.parquet", answer_rows(result, self.materials))
        if result.selection:
            d = result.selection.chosen.direction
            artefacts.write_tensors(
                self.folder / "gate.safetensors", {"direction": d.vector},
                {"site": str(d.site), "estimator": d.estimator},
            )  # fmt: skip
        page = analysis_page(result, self.question, self.materials.test)
        artefacts.write_atomically(self.folder / "report.html", page.encode())
        artefacts.write_json(self.folder / "result.json", value)


_PROBE_SCALARS = ("estimator", "n_train", "n_test")


def labelled(acts: Tensors) -> tuple[Float[Tensor, "sites n d"], Tensor]:
    """Clean then triggered activations, with labels."""
    n = acts["clean"].shape[1]
    labels = torch.cat([torch.zeros(n), torch.ones(n)]).bool()
    return torch.cat([acts["clean"], acts["triggered"]], dim=1), labels


def paired_effect(a: Outcome, b: Outcome) -> Estimate:
    """Paired difference in the behaviour's rate, a minus b."""
    first, second = (torch.tensor(o.shown, dtype=torch.float64) for o in (a, b))
    return difference_interval(first, second)


def _candidate(row: dict[str, Any], vector: Tensor) -> gate.Candidate:
    site = Site(row["layer"], row["stream"], row["span"])
    direction = Direction(site, vector, row["estimator"], row["clean_mean"], row["triggered_mean"])
    return gate.Candidate(direction, row["necessity"], row["sufficiency"], row["harm"])


def answer_rows(result: Analysis, materials: "Materials") -> list[dict[str, Any]]:
    """One row per test prompt, condition and edit."""
    outcomes: Sequence[Outcome] = result.behaviour.outcomes
    if result.ablation:
        outcomes = (*outcomes, *result.ablation.outcomes)
    return [
        {"prompt": text, "condition": o.condition, "edit": o.edit, "shown": s, "answer": a}
        for o in outcomes
        for text, s, a in zip(materials.test, o.shown, o.answers, strict=True)
    ]
