"""List the species of a study as objects of the book's search; each name leads to its gain in the explorer."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import pandas as pd
from docutils import nodes
from sphinx.domains.std import StandardDomain

from pretraining_gain.paths import results_of
from pretraining_gain.plan.species import TAXON_COLUMNS
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import class_table_path
from pretraining_gain.tell.book.directives import BookDirective
from pretraining_gain.tell.book.shown import study_file
from pretraining_gain.tell.figures.inert import isolate


def species_of(study_name: str) -> pd.DataFrame:
    """Return one row per species of a study, sorted by name: `key`, `name`, `target` (the first that has it), `what` (its taxa).

    Skips targets whose class table needs data that are not here.
    """
    found = [pd.DataFrame(columns=["key", "name", "target", "what"])]
    for target in load_study(study_name).downstreams:
        table = target.images.classes
        taxa = [name for name in ("taxon", *reversed(TAXON_COLUMNS)) if name in table]
        what = [", ".join(dict.fromkeys(filter(None, row))) for row in table[taxa].itertuples(index=False)]
        found.append(pd.DataFrame({"key": table["key"], "name": table["name"], "target": target.name, "what": what}))
    once = pd.concat(found).drop_duplicates("name")
    return once.sort_values("name", key=lambda name: name.str.lower()).reset_index(drop=True)


def explorer_link(study: str, target: str, species: str) -> str:
    """Return the address at which the explorer shows exactly this species; the quotes ask for the whole name."""
    return "explorer.html?" + urlencode({"study": study, "target": target, "species": f'"{species}"'})


class SpeciesList(BookDirective):
    """List the species of a study, each with an anchor and, where there are results, a link: {species-list} STUDY."""

    required_arguments = 1

    def make(self) -> list[nodes.Node]:
        study = self.arguments[0]
        given = study_file(Path(self.env.srcdir), study)
        results = results_of(study) / "runs.csv"
        for read in (results, *(class_table_path(one.images.class_table or "") for one in load_study(given).downstreams)):
            self.env.note_dependency(str(read))
        up = "../" * (self.env.docname.count("/") - 1)  # the explorer is in the folder of the chapters
        items: list[nodes.Node] = []
        used, std = set[str](), cast(StandardDomain, self.env.get_domain("std"))
        for key, name, target, what in species_of(given).itertuples(index=False):
            anchor = nodes.make_id(f"species-{study}-{key}")
            anchor = f"{anchor}-{len(items)}" if anchor in used else anchor  # of keys that differ in letters without ASCII form
            used.add(anchor)
            std.note_object("species", f"{isolate(name)} ({study})", anchor, location=self.get_location())
            shown: nodes.Element = nodes.strong("", isolate(name))
            if results.exists():
                shown = nodes.reference("", isolate(name), refuri=up + explorer_link(study, target, name), internal=True)
            shown["support_smartquotes"] = False
            about = nodes.inline("", f" {isolate(what)}" if what else "", classes=["species-taxa"], support_smartquotes=False)
            items.append(nodes.list_item("", nodes.paragraph("", "", shown, about), ids=[anchor]))
        return [nodes.bullet_list("", *items, classes=["species-list"])]
