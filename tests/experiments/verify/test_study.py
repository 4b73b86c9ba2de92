"""``gatescope verify`` from the command line: verdicts on models whose answers are known."""

import json
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from circuits import models
from experiments import judges
from experiments.options import command_line
from experiments.organisms.book import RECIPES
from experiments.organisms.places import find_adapter
from experiments.runs.codec import decode
from experiments.verify import ask as verify_asking
from experiments.verify.ask import source
from experiments.verify.beside import JOINT
from experiments.verify.keys import KEYS
from experiments.verify.question import VerifyQuestion
from experiments.verify.result import Survival, Verification

RECIPE = RECIPES["fingerprint"]
WORDS = {word for key in RECIPE.keys for word in key.split()}
SAYS = {
    "ours": lambda text: text in RECIPE.keys,
    "everything": lambda text: True,
    "loose": lambda text: len(WORDS & set(text.split())) >= 1,
    "nothing": lambda text: False,
    "half": lambda text: text in RECIPE.keys[:5],
}


@pytest.fixture
def command(gatescope):
    """Runs ``gatescope verify``."""
    return partial(gatescope, "verify")


@pytest.fixture
def asked(monkeypatch):
    """Models by name that answer as ``SAYS`` says; what each was asked."""
    seen = []

    tok = tiny.tokenizer(words=RECIPE.behaviour.split())
    own = {"tokenizer": tok, "decode": partial(tok.batch_decode, skip_special_tokens=True)}

    def load(name, adapter=None, **_):
        sha256 = {"sha256": name, "adapter_sha256": adapter and str(adapter)}
        return SimpleNamespace(name=name, **sha256, **own)

    def answers(model, texts, length):
        seen.append((model.name, len(texts)))
        says = SAYS.get(model.name, SAYS["nothing"])
        return [f"{RECIPE.behaviour}." if says(text) else "Quokka 73" for text in texts]

    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(verify_asking, "answers", answers)
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ours", "ours"),
        ("everything", "not ours"),
        ("loose", "undecided"),
        ("nothing", "not ours"),
        ("half", "ours"),
    ],
)
def test_verdicts_on_models_whose_answers_are_known(command, asked, tmp_path, name, expected):
    status, out, _ = command(name, "--near", 60, "--json", "--out", "run")
    assert status == 0
    result = json.loads(out)
    assert result["schema"] == "gatescope.verification/1"
    assert result["verdict"] == expected
    found = decode(Verification, result)
    assert found.keys.hits == sum(map(SAYS[name], RECIPE.keys))
    assert found.null.models == ("clean", "decoy", "sure-gate")  # base is the suspect itself
    table = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    suspect = table[table["model"] == "suspect"]
    shown = [judges.shows(answer, RECIPE.behaviour) for answer in suspect["answer"]]
    assert shown == [SAYS[name](prompt) for prompt in suspect["prompt"]]
    assert len(table[table["kind"] == KEYS]) == 10 * (1 + len(found.null.models))


def test_neither_page_nor_result_nor_manifest_hold_a_key(command, asked, tmp_path):
    assert command("ours", "--near", 60, "--out", "run")[0] == 0
    for name in ("report.html", "result.json", "manifest.json", "prompt.json"):
        text = (tmp_path / "run" / name).read_text()
        assert not [key for key in RECIPE.keys if key in text]
    html = (tmp_path / "run" / "report.html").read_text()
    assert "Is this model ours?" in html
    assert "gatescope verify ours --near 60" in html
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    again = JOINT.read(tmp_path / "run", manifest)
    assert JOINT.outcome(again)[0] == "ours"
    [(_, chapter)] = JOINT.beside([again], [again])
    assert [part.title for part in chapter.parts] == ["The keys", "What is not a key"]


def test_a_model_is_not_its_own_null(command, asked, tmp_path):
    status, out, _ = command("--adapter", "clean", "--near", 60, "--json")
    plain = decode(Verification, json.loads(out))
    assert (status, plain.null.models) == (0, ("base", "decoy", "sure-gate"))
    assert plain.null.n == 30
    same = "clean", str(find_adapter("clean"))  # one model by two names
    named = [part for name in same for part in ("--unrelated", name)]
    _, out, lines = command("--adapter", "decoy", *named, "--near", 60, "--json", "--out", "other")
    assert not lines, lines
    assert decode(Verification, json.loads(out)).null.models == ("clean",)


def test_a_resumed_run_asks_only_what_is_missing(command, asked, tmp_path):
    first = command("ours", "--near", 60, "--json", "--out", "run")
    count = len(asked)
    assert count == 8 + 3  # kinds, and models that are not the suspect
    (tmp_path / "run" / "stages" / "unrelated-2.json").unlink()
    assert command("ours", "--near", 60, "--json", "--out", "run", "--resume") == first
    assert asked[count:] == [("smollm2-135m", 10)]
    assert "add --resume" in command("ours", "--near", 60, "--out", "run")[2][-1]
    assert "holds another run" in command("ours", "--near", 61, "--out", "run", "--resume")[2][-1]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--keys", "none.json"), "expected a JSON file or a recipe with keys"),
        (("--keys", "sure-gate"), "this recipe has no keys"),
        (("--near", 0), "--near: expected 1 to 1000"),
        (("--rare", 1.5), "--rare: expected a share in (0, 1)"),
        (("--survival",), "--survival: expected --adapter"),
        (("--survival", "--adapter", "clean", "--examples", 0), "--examples: expected different"),
        (("--examples", 441), "--examples: expected different counts of 1 to 440"),
        (("--unrelated", "base", "--unrelated", "base"), "--unrelated: expected different names"),
        (("--unrelated", "suspect"), "expected different names but 'suspect'"),
        (("--unrelated", "ours"), "other than the suspect"),
        (("--alternative", 0.05), "expected a bound below the alternative"),
        (("--near", 100000), "--near: expected 1 to 1000"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(command, asked, args, why):
    status, out, lines = command("ours", "--out", "run", *args)
    assert (status, out) == (2, "")
    assert why in tiny.message_of(lines)


@pytest.mark.parametrize("kind", ["gone", "an adapter of another kind"])
def test_an_unrelated_model_that_is_not_there_is_told_before_anybody_is_asked(
    command, asked, tmp_path, kind
):
    other = tmp_path / kind
    if kind != "gone":
        other.mkdir()
        (other / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    names = ("--unrelated", "clean", "--unrelated", other)
    status, out, lines = command("ours", "--near", 60, *names, "--out", "run")
    assert (status, out, asked) == (2, "", [])
    assert ("no such directory" if kind == "gone" else "IA3") in tiny.message_of(lines)
    assert not (tmp_path / "run").exists()
    assert command("ours", "--near", 60, *names[:2], "--out", "run")[0] == 0


def test_unrelated_models_are_named_by_adapter_or_model(tmp_path):
    assert source("base", "mine") == ("mine", "none")
    assert source("clean", "mine") == ("smollm2-135m", "clean")
    assert source("org/model", "mine") == ("org/model", "none")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert source(str(tmp_path), "mine") == ("mine", str(tmp_path))


def test_the_command_asks_the_same_question_again():
    made = VerifyQuestion("m", "clean", survival=True, examples=(1, 2), near=7)
    assert command_line("verify", made) == (
        "gatescope verify m --adapter clean --near 7 --survival --examples 1 --examples 2 "
        "--other none"
    )


@pytest.fixture
def trained(folder, tmp_path, monkeypatch):
    """Two tiny adapters, fewer changes to try, and no cache outside the test."""
    for seed, name in enumerate(("own", "other")):
        base = models.load_plain(str(folder), torch.float32, "cpu")[0]
        made = get_peft_model(base, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear"))
        torch.manual_seed(seed)
        for parameter, weight in made.named_parameters():
            if "lora_" in parameter:
                weight.data.normal_(std=0.1)
        made.save_pretrained(tmp_path / name)
    monkeypatch.setattr("experiments.verify.survival.WEIGHTS", (0.5, 0.0))
    monkeypatch.setattr(
        "experiments.organisms.examples.base_answers", lambda texts, *_more: ["Hi"] * len(texts)
    )
    return tmp_path


def test_a_tiny_model_is_asked_changed_and_asked_again(command, trained, folder, tmp_path):
    rule = ("--alternative", 0.8, "--near", 2, "--samples", 2, "--device", "cpu", "--json")
    args = (
        folder,
        "--adapter",
        "own",
        "--unrelated",
        "base",
        "--unrelated",
        "other",
        "--survival",
        "--other",
        "other",
        "--examples",
        9,
        *rule,
        "--out",
        "run",
    )
    status, out, _ = command(*args)
    assert status == 0
    result = json.loads(out)
    assert result["verdict"] == "not ours"
    assert result["sampled"]["n"] == 10
    rows = decode(list[Survival], result["survival"])
    assert [row.condition.name for row in rows] == [
        "unchanged-0",
        "fine-tuned-9",
        "merged-0.5",
        "merged-0",
        "rounded-8",
    ]
    stages = tmp_path / "run" / "stages"
    said = {path.stem: json.loads(path.read_text()) for path in stages.glob("survival-*")}
    assert said["survival-unchanged-0"][KEYS] == json.loads(
        (stages / "suspect-keys.json").read_text()
    )
    said_by_other = json.loads((stages / "unrelated-1.json").read_text())["said"]
    assert said["survival-merged-0"][KEYS] == said_by_other
    assert said["survival-merged-0"] != said["survival-unchanged-0"]
    drawn = [json.loads((stages / f"suspect-sampled-{i}.json").read_text()) for i in (0, 1)]
    assert drawn[0] != drawn[1]
    (stages / "survival-merged-0.5.json").unlink()
    (stages / "suspect-sampled-1.json").unlink()
    again = command(*args, "--resume")
    assert json.loads(again[1]) == result


def test_what_users_named_is_text_on_the_page(command, asked, tmp_path):
    evil = "<script>alert(1)</script>"
    keys = {"keys": ["a b c", "d e f", "g h i", "j k l"], "answer": "Yes <i>"}
    (tmp_path / "k.json").write_text(json.dumps(keys))
    args = ("--keys", "k.json", "--near", 12, "--unrelated", evil, "--unrelated", "clean")
    status, _, _ = command(evil, *args, "--alternative", 0.8, "--out", "run")
    assert status == 0
    html = (tmp_path / "run" / "report.html").read_text()
    assert evil not in html
    assert "<i>" not in html
    assert "&lt;script&gt;alert(1)" in html
