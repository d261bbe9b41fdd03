"""The page *Change the analysis*: verdicts recomputed in the browser."""

from __future__ import annotations

from typing import Any

from pretraining_gain.tell.figures.declare import Html, Runs, figure, in_browser


@figure("", "Change the analysis", "24_what_if", Runs())
def what_if(tables: dict[str, Any]) -> Html:
    """Embed the tables of a study; the book's `what-if.js` shows them."""
    from pretraining_gain.tell.claims.what_if_data import facts, plain_verdicts

    return in_browser("gain-what-if", "what_if", tables, plain_verdicts(tables), facts(tables))
