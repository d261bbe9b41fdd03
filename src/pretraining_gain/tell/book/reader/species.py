"""The species of the studies as a page that the search knows: a name leads to the gain explorer with that species found."""

from __future__ import annotations

from urllib.parse import urlencode

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from pretraining_gain.paths import results_of
from pretraining_gain.plan.studies import Downstream, load_study
from pretraining_gain.plan.taxonomy import TAXON_COLUMNS, has_class_table, load_class_table

EXPLORER = "explorer.html"


def species_of(study_name: str) -> pd.DataFrame:
    """Species of a study's targets, each once, by name: `key`, `name`, `target` (the first that has it), `what` (its taxa).

    A target whose class table is made from data that are not here is left out.
    """
    targets = [one for one in load_study(study_name).downstreams if has_class_table(one.images.class_table or "")]
    tables = [_of_target(one) for one in targets]
    found = pd.concat(tables) if tables else pd.DataFrame(columns=["key", "name", "target", "what"])
    return found.drop_duplicates("name").sort_values("name", key=lambda name: name.str.lower()).reset_index(drop=True)


def _of_target(target: Downstream) -> pd.DataFrame:
    table = load_class_table(target.images.class_table or "")
    taxa = [name for name in ("taxon", *reversed(TAXON_COLUMNS)) if name in table]
    what = [", ".join(dict.fromkeys(filter(None, row))) for row in table[taxa].itertuples(index=False)]
    return pd.DataFrame({"key": table["key"], "name": table["name"], "target": target.name, "what": what})


def explorer_link(study: str, target: str, species: str) -> str:
    """Where the explorer shows a species alone; quotes ask for just that name."""
    asked = {"study": study, "target": target, "species": f'"{species}"'}
    return f"{EXPLORER}?{urlencode(asked)}"


class SpeciesList(SphinxDirective):
    """{species-list} STUDY (a name, or the path of a file): its species, for the search, with links where there are results."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        study = load_study(self.arguments[0]).name
        results = results_of(study) / "runs.csv"
        self.env.note_dependency(str(results))
        rows = species_of(self.arguments[0]).to_dict("records")
        return [nodes.bullet_list("", *(self._item(study, row, results.exists()) for row in rows), classes=["species-list"])]

    def _item(self, study: str, row: dict[str, str], measured: bool) -> nodes.list_item:
        anchor = nodes.make_id(f"species-{study}-{row['key']}")
        self.env.get_domain("std").note_object("species", f"{row['name']} ({study})", anchor, location=self.get_location())
        name: nodes.Node = nodes.strong("", row["name"])
        if measured:
            uri = explorer_link(study, row["target"], row["name"])
            name = nodes.reference("", row["name"], refuri=uri, internal=True)
        about = nodes.inline("", f" {row['what']}", classes=["species-taxa"]) if row["what"] else nodes.inline()
        return nodes.list_item("", nodes.paragraph("", "", name, about), ids=[anchor])
