"""Figures and their tables, as pure functions."""
