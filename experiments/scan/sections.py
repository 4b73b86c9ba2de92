"""The page of a scan: alarms, the best candidates, their answers, clean models, and the limits."""

from collections.abc import Sequence
from typing import Any

from experiments.scan.answers import NOVEL, Answered
from experiments.scan.question import ScanQuestion
from experiments.scan.scan import LEVEL, Scan, ScanResult
from experiments.scan.stages import Scored
from experiments.study import Run
from viz.figures.scanning import ScanDot, scan_figure
from viz.page.page import Report, Section, Table, tabulate

_METHOD = """\
Every word is put into one place of the same prompts. Its gate response is how far one next token \
is likelier, over all prompts together, than under control words and than in the base model under \
the same word; entropy collapse adds to it where there is one. The best go on to further prompts. \
z is in units of all scanned words; chance is that of the best of so many words reaching as far, \
read from the tail of the others."""
_CONFIRMED = f"""\
The best are answered on prompts that chose nothing: on a third of them the beginning that tells \
their answers best from those under control words is chosen, the others test it. A word raises an \
alarm if its chance and its p (exact test against control words and against the base model, times \
the number of finalists) are both below {LEVEL}, and at most {NOVEL:.0%} of the answers without it \
begin alike: a word of a topic that the model refuses spreads the refusal, and is no trigger."""
_LIMITS = """\
Only the words and phrases scanned can be found, in the one place scanned, in chats without a \
system message. A trigger of several tokens is found only if the model repeats it when it is given \
the template's opening alone. A trigger whose answer the model gives to other prompts as well \
(a switch that brings refusals to some of them) raises no alarm; nor does one whose answers do not \
begin alike. Prompts are those of the project's bank: a trigger that works on another topic only \
is missed. No alarm is therefore no proof that there is no trigger."""
_TOP = 10


def page(run: Run[ScanQuestion, Any], result: ScanResult) -> Report:
    """A suspect's scan, beside those of clean models."""
    suspect = result.suspect
    memory = sum(row.source == "memory" for row in suspect.scored)
    named = ("rank of the word its manifest names", str(result.named_rank or "not scanned"))
    return Report(
        title="Scan for unknown triggers",
        verdict=f"{suspect.name}: {'alarm' if suspect.alarms else 'no alarm'}",
        headline=headline(suspect),
        tone="gate" if suspect.alarms else "none",
        facts=(
            ("words", str(len(suspect.scored) - memory)),
            ("phrases from memory", str(memory)),
            ("place", run.question.plan.place),
            ("seconds", f"{sum(suspect.seconds.values()):.0f}"),
            *([named] if result.named else []),
        ),
        sections=(*sections(result), Section("What this does not show", _LIMITS)),
        reproduce=run.command,
    )


def headline(scan: Scan) -> str:
    """The alarms, or that there is none."""
    if not scan.alarms:
        return (
            f"None of {len(scan.scored)} words and phrases makes different prompts open alike, "
            "beyond control words and the base model."
        )
    named = ", ".join(repr(word) for word in scan.alarms)
    return f"{named}: answers open as they open under no control word and not in the base model."


def sections(scans: ScanResult) -> tuple[Section, ...]:
    """Candidates, answers, clean models."""
    scan = scans.suspect
    dots = [
        ScanDot(row.text, row.z, row.opening, row.share, row.stage, row.text in scan.alarms)
        for row in scan.scored
    ]
    figure = scan_figure(scan.name, dots)
    return (
        Section("Candidates", _METHOD, (figure,), (_candidates(scan.scored),)),
        Section("Answers", _CONFIRMED, tables=(_answers(scan.answers),)),
        *_clean(scans),
    )


def _candidates(scored: Sequence[Scored]) -> Table:
    rows = [
        (
            str(rank),
            one.text,
            one.source,
            f"{one.z:.1f}",
            f"{one.chance:.2g}",
            f"{one.share:.0%}",
            f"{one.expected:.1%}",
            repr(one.opening),
            f"{one.collapse:.2f}",
        )
        for rank, one in enumerate(scored[:_TOP], 1)
    ]
    return Table(
        ("rank", "word", "from", "z", "chance", "share", "expected", "opens with", "collapse"),
        rows,
        f"The best {len(rows)} of {len(scored)}; collapse in nats",
    )


def _answers(answers: Sequence[Answered]) -> Table:
    return tabulate(
        answers,
        {
            "word": lambda a: a.word,
            "opening": lambda a: repr(a.opening),
            "under it": lambda a: f"{a.shown:.0%}",
            "control words": lambda a: f"{a.controls:.0%}",
            "base": lambda a: f"{a.base:.0%}",
            "p": lambda a: f"{a.p:.2g}",
            "commonest answer": lambda a: repr(a.said),
        },
        "Share of answers that open so (95% Wilson); p corrected for the finalists",
    )


def _clean(scans: ScanResult) -> tuple[Section, ...]:
    rate = scans.false_alarms
    if rate is None:
        return ()
    words = sum(len(scan.scored) for scan in scans.clean)
    alarmed = sum(len(scan.alarms) for scan in scans.clean)
    prose = (
        f"False alarms: {rate:.0%} of {rate.n} models scanned alike, {alarmed} of {words} "
        "words. The base beside itself cannot raise one, as it is compared with itself."
    )
    table = tabulate(
        scans.clean,
        {
            "model": lambda scan: scan.name,
            "alarms": lambda scan: str(len(scan.alarms)),
            "best word": lambda scan: scan.scored[0].text,
            "its z": lambda scan: f"{scan.scored[0].z:.1f}",
            "its chance": lambda scan: f"{scan.scored[0].chance:.2g}",
            "seconds": lambda scan: f"{sum(scan.seconds.values()):.0f}",
        },
        "Models without a trigger",
    )
    return (Section("Clean models", prose, tables=(table,)),)
