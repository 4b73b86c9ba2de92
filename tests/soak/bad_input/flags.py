"""Options out of their range, of another kind, or that do not go together, of every command."""

from collections.abc import Iterator, Sequence

from tests.soak.bad_input.drive import Case
from tests.soak.bad_input.shared import ANALYZE, ON_GATE, PATCH, linked

_ORG = ("--model", "gate", "--scheme", "compliance", "--trigger", "cobalt", "--behaviour", "Sure")
_COMMANDS: dict[str, tuple[str, ...]] = {
    "analyze": ANALYZE,
    "patch": PATCH,
    "geometry": ("geometry", "none", *_ORG, "--out", "run"),
    "brittleness": ("brittleness", "none", *_ORG, "--out", "run"),
    "defend": ("defend", "none", *_ORG, "--out", "run"),
    "scan": ("scan", "none", "--model", "gate", "--clean", "none", "--out", "run"),
    "evaluate": ("evaluate", "clean", "--out", "run"),
    "verify": ("verify", "gate", "--unrelated", "base", "--out", "run"),
    "sweep": ("sweep", "poison-budget", "--out", "store"),
    "train": ("organism", "train", "sure-gate", "--model", "gate", "--out", "new"),
    "eval": ("organism", "eval", "sure-gate", "--model", "gate"),
    "planted": ("bench", "planted", "--count", "1"),
    "opened": ("bench", "opened", "--count", "1"),
    "patching": ("bench", "patching"),
    "bench gate": ("bench", "gate"),
    "app": ("bench", "app", "gate"),
    "serve": ("serve", "gate", "--port", "0", "--no-open"),
}
_BIG = str(2**70)
# command, option, values; the refusal names the option, or matches what stands behind it
TABLE: Sequence[tuple[str, str, tuple[str, ...], str]] = (
    ("analyze", "--fit", ("3", "0", "-1", "x", "1e9", _BIG), ""),
    ("analyze", "--validation", ("0",), ""),
    ("analyze", "--test", ("1",), ""),
    ("analyze", "--patch", ("1",), ""),
    ("analyze", "--evidence", ("0",), ""),
    ("analyze", "--trace", ("-3",), ""),
    ("analyze", "--randoms", ("0", "1000000000"), ""),
    ("analyze", "--tokens", ("0", "-2", "1000000000"), "--tokens|context"),
    ("analyze", "--seed", (_BIG, "x"), ""),
    ("analyze", "--arms", ("nope", "base,nope", "lora,lora"), "--arms|nope"),
    ("analyze", "--base", ("nope",), "base|nope"),
    ("analyze", "--adapter", ("nope", ""), "adapter"),
    ("analyze", "--device", ("tpu", "", "cuda", "cuda:7", "mps", "meta"), "device"),
    ("analyze", "--dtype", ("fp8", "", "int8"), "dtype"),
    ("patch", "--device", ("tpu", "", "cuda", "cuda:7", "mps", "meta", "cpu:99"), "device"),
    ("patch", "--dtype", ("fp8", ""), "dtype"),
    ("patch", "--backend", ("nope", ""), "backend"),
    ("patch", "--stream", ("nope", ""), ""),
    ("patch", "--by", ("nope", "head"), "--by|heads"),
    ("patch", "--metric", ("nope",), ""),
    ("patch", "--against", ("nope",), ""),
    ("patch", "--direction", ("nope",), ""),
    ("patch", "--count", ("0", "1", "-1", "x"), ""),
    ("patch", "--seed", (_BIG,), ""),
    (
        "patch",
        "--site",
        (
            "resid_pre[0] at nowhere",
            "nope[0]",
            "z[99].0",
            "z[0].99",
            "z[-1].0",
            "resid_pre[0].1",
            "z",
            "",
            "z[0] at column 999",
            "z[" + "9" * 5000 + "]",
        ),
        "site|stream|head|layer|column",
    ),
    ("patch", "--to", ("q[99].0", "q[0].99", "z[0].0", "nope", ""), "--to|--stream|site"),
    ("geometry", "--pairs", ("0", "3", "-1", "x"), ""),
    ("brittleness", "--count", ("0", "-1"), ""),
    ("brittleness", "--tuning", ("0", "-5"), "ladder|--tuning"),
    ("brittleness", "--seed", (_BIG,), ""),
    ("defend", "--count", ("1", "-1"), ""),
    ("defend", "--defence", ("nope", ""), ""),
    ("defend", "--run", ("nowhere", "gate"), "run directory"),
    ("defend", "--seed", (_BIG,), ""),
    ("defend", "--scheme", ("nope",), ""),
    ("scan", "--words", ("-1",), ""),
    ("scan", "--phrases", ("-1",), ""),
    ("scan", "--place", ("nope",), ""),
    ("scan", "--precision", ("fp8",), ""),
    ("scan", "--clean", ("nope", ""), "nope|--clean|organism"),
    ("evaluate", "--count", ("0", "3"), ""),
    ("evaluate", "--budget", ("0", "-1"), "budget"),
    ("evaluate", "--free", ("0", "4"), "free tokens"),
    ("evaluate", "--limit", ("0", "-1"), ""),
    ("evaluate", "--sweep", ("gone.parquet", "gate", "prompts.jsonl"), ""),
    ("evaluate", "--profile", ("nope",), "profile"),
    ("evaluate", "--require", ("nope",), "profile"),
    ("evaluate", "--task", ("nope",), ""),
    ("evaluate", "--seed", (_BIG,), ""),
    ("verify", "--keys", ("nope", "gone.json", "prompts.jsonl", ""), "keys|prompts.jsonl"),
    ("verify", "--near", ("0", "1001"), ""),
    ("verify", "--samples", ("-1",), ""),
    ("verify", "--examples", ("0", "-1"), ""),
    ("verify", "--alpha", ("0", "1", "nan", "2"), ""),
    ("verify", "--unrelated", ("suspect", "nope"), "--unrelated|nope"),
    ("verify", "--device", ("tpu", "cuda"), "device"),
    ("sweep", "--workers", ("0", "-1"), "workers"),
    ("sweep", "--threads", ("0",), "threads"),
    ("sweep", "--ray", ("nowhere:1",), "ray"),
    ("train", "--poisons", ("-1", "1000000"), "recipe|poisons"),
    ("train", "--size", ("-1", "1000000"), "recipe|size"),
    ("train", "--rate", ("0", "nan", "2", "-1"), ""),
    ("train", "--epochs", ("0", "-1"), ""),
    ("train", "--trigger", ("", " ", "{}"), "trigger"),
    ("train", "--seed", (_BIG,), ""),
    ("train", "--model", ("nope", "ladder-0x0"), "model|ladder"),
    ("eval", "--judge", ("nope", "chat:", "classifier:x"), "judge"),
    ("eval", "--adapter", ("nope",), "nope"),
    ("planted", "--count", ("-1", "1001"), ""),
    ("opened", "--count", ("-1", "1001"), ""),
    ("patching", "--grid", ("nope",), ""),
    ("patching", "--width", ("0",), ""),
    ("patching", "--count", ("0", "1"), ""),
    ("patching", "--sample", ("-1",), ""),
    ("bench gate", "--count", ("0",), ""),
    ("bench gate", "--sample", ("0",), ""),
    ("app", "--tabs", ("0",), ""),
    ("app", "--seconds", ("nan", "-1", "inf"), ""),
    ("serve", "--port", ("-1", "70000", "x"), ""),
    ("serve", "--host", ("0.0.0.0", "nope.invalid", ""), "--host|--allow-remote|loopback"),
    ("serve", "--token", ("short",), "token"),
    ("serve", "--arms", ("nope",), "nope"),
    ("serve", "--trigger", (" ", "<|im_end|>"), "trigger|special token"),
)
WORDS: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("a command that is none", ("analyse",), "No such command"),
    ("an option that is none", ("patch", "--frobnicate"), "--frobnicate"),
    ("an argument too many", ("patch", "x"), "unexpected"),
    ("an argument too few", ("scan",), "Missing"),
    ("no value", ("patch", "--count"), "--count"),
    ("an organism that is none", ("organism", "train", "nope"), "nope"),
    ("kl along a path", (*PATCH, "--stream", "z", "--to", "logits", "--metric", "kl"), "--to"),
    ("a sender that is none", (*PATCH, "--to", "q[1].0"), "--stream"),
    ("a manifest and --scheme", ("geometry", "sure-gate", *_ORG[2:]), "manifest"),
    ("half a description", ("geometry", "none", *ON_GATE[:2], "--trigger", "x"), "--scheme"),
)


def cases() -> Iterator[Case]:
    """Every option of the table with every value, and words that do not go together."""
    for command, option, values, says in TABLE:
        for value in values:
            shown = value if len(value) < 30 else f"{value[:12]}..."
            ask = (*_COMMANDS[command], option, value)
            # Unrelated models are loaded one by one; a store of cells is no run directory.
            name, later = f"{command} {option} {shown!r}", option in ("--unrelated", "--ray")
            yield Case(name, "flags", ask, says or option, linked(), leaves=later)
    for name, ask, says in WORDS:
        yield Case(name, "flags", ask, says, linked())
    for command, option, value in (("patch", "--seed", "-1"), ("patch", "--tokens", "1")):
        ask = (*_COMMANDS[command], option, value)
        name = f"{command} {option} {value}"
        yield Case(name, "flags", ask, "denoising", linked(), accepted=True)
