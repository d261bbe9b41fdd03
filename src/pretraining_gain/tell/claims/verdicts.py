"""The words of the verdicts."""

from __future__ import annotations

from typing import Literal, get_args

Word = Literal["supported", "contradicted", "no relevant difference", "not resolvable", "not testable", "not run"]
VERDICTS = SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNRESOLVED, NOT_TESTABLE, NOT_RUN = get_args(Word)
