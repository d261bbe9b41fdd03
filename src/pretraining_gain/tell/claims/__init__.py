"""The paper's claims, the ledger of their verdicts, and what other choices would give."""
