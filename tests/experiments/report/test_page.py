"""The joint page is made of what each kind contributes: chapters, parts of chapters, sentences."""

from experiments.report.page import chapters, head, notes, overview, page
from experiments.study import Finished, Joint
from viz.page.page import Report, Section, Table


def finished(kind, name, **question):
    manifest = {"kind": kind, "question": question, "command": f"make {name}", "versions": {}}
    return Finished(name, f"runs/{name}", manifest, None)


def joint(kind, beside, **more):
    return Joint(kind, lambda folder, manifest: None, beside, **more)


def walls(runs, every):
    """Two chapters; without a run the first says so."""
    yield "Walls", Section("Walls", f"{len(runs)} of {len(every)}" if runs else "None was given.")
    if runs:
        yield "Doors", Section("Doors", "These lead out.", parts=(Section("Locks"),))


def windows(runs, every):
    """Parts of the other's chapters, the first of which they open if need be."""
    if runs:
        yield "Walls", Section("Walls")
    yield "Doors", Section("Panes", "Of glass." if runs else "Of nothing.")


KINDS = (
    joint(
        "wall",
        walls,
        head=lambda runs: (
            Report("Is it a house?", "House", "It stands.", "gate", ()),
            Table((), []),
        ),
    ),
    joint("window", windows, outcome=lambda run: ("clear", "1 pane"), sentence=lambda run: "Light"),
)
DOORS = joint("door", lambda runs, every: [("Doors", Section("Doors", "Shut."))])


def test_a_part_joins_the_chapter_of_another_kind():
    first, second = chapters([finished("wall", "a"), finished("window", "b")], KINDS)
    assert (first.title, first.prose) == ("Walls", "1 of 2")
    assert (second.title, [part.title for part in second.parts]) == ("Doors", ["Locks", "Panes"])


def test_what_is_missing_gives_way_to_what_is_given():
    assert chapters([], (*KINDS, DOORS))[0].prose == "None was given."
    opened, _ = chapters([finished("window", "b")], (*KINDS, DOORS))
    assert (opened.title, opened.prose) == ("Walls", "")


def test_the_first_chapter_opens_with_a_row_for_every_run():
    runs = [finished("wall", "a"), finished("window", "b")]
    made = page(runs, "gatescope report a b", KINDS)
    assert [len(table.rows) for table in made.sections[0].lead] == [0, 1]
    assert made.sections[0].lead[1].rows == [("window", "b", "clear", "1 pane")]
    assert overview(runs[:1], KINDS) == ()


def test_the_kind_that_leads_gives_the_head_and_others_a_sentence():
    both = head([finished("window", "b"), finished("wall", "a")], KINDS)
    assert (both.title, both.headline) == ("Is it a house?", "It stands. Light")
    alone = head([finished("window", "b")], KINDS)
    assert (alone.title, alone.verdict) == ("What is known of b", "No analysis given")
    assert alone.facts == (("runs", "1"), ("kinds", "window"))


def test_runs_of_other_mappings_are_told_apart():
    one, other = (finished("wall", name, trigger="x") for name in ("a", "b"))
    assert notes([one, one], KINDS) == []
    assert "a with trigger 'x'; b with trigger 'x'" in notes([one, other], KINDS)[0]
