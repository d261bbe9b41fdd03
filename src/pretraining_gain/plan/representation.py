"""How the source represents a downstream species (paper, Figure 1)."""

from __future__ import annotations

import pandas as pd

REPRESENTED = "in the source"
NONE = "none"


def representation(table: pd.DataFrame) -> pd.Series:
    """`in the source` where the table's `represented_by` names a source class, else `none`. One value a class.

    The paper counts correct images of the species in the ImageNet validation set; small sources have no such audit,
    so here a species counts as represented when a source class's meaning includes it.
    """
    named = table["represented_by"] != ""
    return named.map({True: REPRESENTED, False: NONE}).rename("representation")
