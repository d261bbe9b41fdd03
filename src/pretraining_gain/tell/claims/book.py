"""The settings of the book's ledgers. As they stand in code, the notebook depends on the results that they name."""

from __future__ import annotations

BOOK = {"vote_cut": 0.0, "well_represented": 40, "variances_from": "imagenet200"}
