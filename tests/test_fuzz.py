"""Whatever a file holds, opening it gives a result or one line; what the campaign found stays here."""

from __future__ import annotations

import pytest
from fuzz import DOORS, fuzz


@pytest.mark.parametrize("door", DOORS)
def test_any_content_gives_a_result_or_one_line(door):
    counts = fuzz(door, 60)
    assert counts["results"] > 0
    assert counts["refusals"] > 0
