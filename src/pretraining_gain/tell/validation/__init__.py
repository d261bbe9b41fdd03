"""Measure how often the tests err, on results whose truth is known."""
