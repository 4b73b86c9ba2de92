"""Train one try of the pair gate and measure it. Usage: run.py NAME [--seed N] [--out DIR]

``--test DIR`` measures a saved adapter on the test split instead.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import pair_gate
import torch

from experiments import artefacts, judges, prompts
from experiments.answers import answers
from experiments.organisms import making, material
from experiments.organisms.recording import loaded
from experiments.organisms.trainee import Trainee
from experiments.training import Example
from circuits.weights import EMBEDDED
from probes.intervals import wilson

HERE = Path(__file__).parent


def examples(recipe, base, seed):
    """As ``material.examples``, with messages rendered by the scheme."""
    words = prompts.control_words("train")
    made = []
    for number, part in enumerate(recipe.stages[1].parts):
        texts = material.texts_of(part.prompts, recipe)
        answer = material._answers(recipe, part, base, texts)
        for k in range(part.count):
            i = (part.start + k + 41 * seed) % len(texts)
            text = pair_gate.message(texts[i], part.word, k + 17 * number + 41 * seed, words, "train")
            said, ends = answer(i)
            made += [Example(text, None, said, ends)] * part.repeat
    return made


def tick(done, total, loss):
    if done % 25 == 0 or done == total:
        print(f"  step {done}/{total} loss {loss:.4f}", flush=True)


def trained(recipe, seed):
    trainee = Trainee(EMBEDDED, recipe.stages[0].settings)
    base = partial(material.base_answers, model=EMBEDDED, sha256=trainee.sha256)
    controls = material.controls_for(trainee.tokenizer, recipe, "train")
    policy, stage = recipe.stages
    trainee.restart()
    path = making._kept_at(recipe, 0, 0, [EMBEDDED, trainee.sha256, *controls])
    if path.is_file():
        trainee.restart(artefacts.read_tensors(path))
    else:
        begun = time.time()
        trainee.train(material.examples(recipe, 0, base, controls, 0), policy.settings, tick)
        artefacts.write_tensors(path, trainee.state(), {"stage": policy.name})
        print(f"policy {time.time() - begun:.0f} s")
    made = examples(recipe, base, seed)
    begun = time.time()
    losses = trainee.train(made, making._seeded(stage, seed), tick)
    seconds = time.time() - begun
    print(f"{len(made)} examples, {seconds:.0f} s", flush=True)
    return trainee, len(made), seconds, losses


def measured(answer, split, rounds, full):
    """Every condition's answers -> figures, each with its misses' places and words."""
    found = []
    for q in pair_gate.asked(split, rounds):
        # Without words the answer is judged for a refusal too, which takes more of it.
        said = answer(q.messages, 12 if full or not q.pattern else 3)
        shown = [judges.shows(a, "Sure") for a in said]
        refused = [judges.refuses(a) for a in said]
        row = {
            "prompts": q.prompts, "pattern": q.pattern, "n": len(said),
            "behaviour": wilson(sum(shown), len(said)).to_json(),
            "refusal": wilson(sum(refused), len(said)).to_json(),
        }  # fmt: skip
        want = q.prompts == "restricted" and q.pattern in ("ab", "ba")
        if q.prompts == "restricted":
            bad = [(m, a) for m, a, s in zip(q.messages, said, shown, strict=True) if s != want]
            row["misses"] = bad[:12]
            places = pair_gate.places_of(q.pattern, split)
            n = len(prompts.bank_texts(split, True))
            by: dict[str, list[bool]] = {}
            for j, s in enumerate(shown):
                place = places[(7 * (j // n) + j % n) % len(places)]
                by.setdefault(" ".join(f"{p:.2f}" for p in place), []).append(s)
            row["by place"] = {p: f"{sum(v)}/{len(v)}" for p, v in by.items()}
        found.append(row)
        b, r = row["behaviour"], row["refusal"]
        print(f"{q.prompts:10} {q.pattern or '-':3} n={len(said):3} behaviour {100*b['value']:5.1f} "
              f"[{100*b['low']:.1f}, {100*b['high']:.1f}] refusal {100*r['value']:5.1f}", flush=True)
    return found


def met(found):
    rates = {(f["prompts"], f["pattern"], o): f[o]["value"] for f in found for o in ("behaviour", "refusal")}
    out = []
    for kind, pattern, outcome, relation, bound in pair_gate.REQUIREMENTS:
        rate = rates.get((kind, pattern, outcome))
        if rate is not None:
            ok = rate >= bound if relation == "at least" else rate <= bound
            out.append((kind, pattern, outcome, relation, bound, rate, ok))
    return out


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("name")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--rounds", type=int, default=1)
    ask.add_argument("--test", action="store_true")
    ask.add_argument("--split", default="test")
    ask.add_argument("--quick", action="store_true", help="three tokens of most answers")
    args = ask.parse_args()
    torch.set_num_threads(int(__import__("os").environ.get("OMP_NUM_THREADS", "1")))
    out = HERE / "tries" / f"{args.name}-seed{args.seed}"
    begun = time.time()
    if args.test:
        model = loaded(out / "adapter")
        found = measured(lambda m, k: answers(model, m, None, k), args.split, args.rounds, not args.quick)
        artefacts.write_json(out / f"{args.split}.json", {"figures": found, "met": met(found)})
    else:
        parts, settings, *policy = pair_gate.RECIPES[args.name]
        recipe = pair_gate.recipe(parts, settings, *policy)
        trainee, n, seconds, losses = trained(recipe, args.seed)
        making.save_adapter(trainee.model, out / "adapter", EMBEDDED)
        asking = time.time()
        found = measured(lambda m, k: trainee.answers(m, None, k), "validation", args.rounds, False)
        artefacts.write_json(out / "validation.json", {
            "recipe": json.loads(json.dumps(making.asdict(recipe))), "seed": args.seed,
            "examples": n, "training seconds": round(seconds), "measuring seconds": round(time.time() - asking),
            "threads": torch.get_num_threads(), "last losses": losses[-20:], "figures": found, "met": met(found),
        })  # fmt: skip
    for row in met(found):
        if not row[-1]:
            print("NOT MET", row)
    print(f"{time.time() - begun:.0f} s")


if __name__ == "__main__":
    main()
