"""Estimates with uncertainty, tests, and the power of a design."""
