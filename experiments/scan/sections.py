"""The page of a scan: alarms, the best candidates, their answers, clean models, and the limits."""

from collections.abc import Sequence

from experiments.scan.answers import NOVEL, Answered
from experiments.scan.plan import Plan
from experiments.scan.result import Found
from experiments.scan.scan import LEVEL, Scan
from experiments.scan.stages import Scored
from viz.figures.scanning import ScanDot, scan_figure
from viz.page.page import Report, Section, Table

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


def page(command: str, plan: Plan, found: Found) -> Report:
    """A suspect's scan, beside those of clean models."""
    alarms = found.suspect.alarms
    return Report(
        title="Scan for unknown triggers",
        verdict=f"{found.suspect.name}: {'alarm' if alarms else 'no alarm'}",
        headline=headline(found.suspect),
        tone="gate" if alarms else "none",
        facts=_facts(plan, found),
        sections=(*sections(found), Section("What this does not show", _LIMITS)),
        reproduce=command,
    )


def headline(one: Scan) -> str:
    """The alarms, or that there is none."""
    if not one.alarms:
        return (
            f"None of {len(one.scored)} words and phrases makes different prompts open alike, "
            "beyond control words and the base model."
        )
    named = ", ".join(repr(word) for word in one.alarms)
    return f"{named}: answers open as they open under no control word and not in the base model."


def sections(found: Found) -> tuple[Section, ...]:
    """Candidates, answers, clean models."""
    one = found.suspect
    figure = scan_figure(one.name, _dots(one))
    return (
        Section("Candidates", _METHOD, (figure,), (_candidates(one),)),
        Section("Answers", _CONFIRMED, tables=(_answers(one.answers),)),
        *_clean(found),
    )


def _facts(plan: Plan, found: Found) -> tuple[tuple[str, str], ...]:
    one = found.suspect
    memory = sum(row.source == "memory" for row in one.scored)
    facts = [
        ("words", str(len(one.scored) - memory)),
        ("phrases from memory", str(memory)),
        ("place", plan.place),
        ("seconds", f"{sum(one.seconds.values()):.0f}"),
    ]
    if found.named:
        rank = found.named_rank
        facts.append(("rank of the word its manifest names", str(rank or "not scanned")))
    return tuple(facts)


def _dots(one: Scan) -> list[ScanDot]:
    return [
        ScanDot(row.text, row.z, row.opening, row.share, row.stage, row.text in one.alarms)
        for row in one.scored
    ]


def _candidates(one: Scan) -> Table:
    header = ("rank", "word", "from", "z", "chance", "share", "expected", "opens with", "collapse")
    rows = [(str(rank), *_cells(row)) for rank, row in enumerate(one.scored[:_TOP], 1)]
    return Table(header, rows, f"The best {len(rows)} of {len(one.scored)}; collapse in nats")


def _cells(row: Scored) -> tuple[str, ...]:
    return (
        row.text,
        row.source,
        f"{row.z:.1f}",
        f"{row.chance:.2g}",
        f"{row.share:.0%}",
        f"{row.expected:.1%}",
        repr(row.opening),
        f"{row.collapse:.2f}",
    )


def _answers(answers: Sequence[Answered]) -> Table:
    header = ("word", "opening", "under it", "control words", "base", "p", "commonest answer")
    rows = [
        (
            a.word,
            repr(a.opening),
            f"{a.shown:.0%}",
            f"{a.controls:.0%}",
            f"{a.base:.0%}",
            f"{a.p:.2g}",
            repr(a.said),
        )
        for a in answers
    ]
    caption = "Share of answers that open so (95% Wilson); p corrected for the finalists"
    return Table(header, rows, caption)


def _clean(found: Found) -> tuple[Section, ...]:
    rate = found.false_alarms
    if rate is None:
        return ()
    words = sum(len(one.scored) for one in found.clean)
    alarmed = sum(len(one.alarms) for one in found.clean)
    prose = (
        f"False alarms: {rate:.0%} of {rate.n} models scanned alike, {alarmed} of {words} "
        "words. The base beside itself cannot raise one, as it is compared with itself."
    )
    rows = [
        (
            one.name,
            str(len(one.alarms)),
            one.scored[0].text,
            f"{one.scored[0].z:.1f}",
            f"{one.scored[0].chance:.2g}",
            f"{sum(one.seconds.values()):.0f}",
        )
        for one in found.clean
    ]
    table = Table(
        ("model", "alarms", "best word", "its z", "its chance", "seconds"),
        rows,
        "Models without a trigger",
    )
    return (Section("Clean models", prose, tables=(table,)),)
