"""TELL: from predictions to tables, gains, figures and the numbers in the chapters. Imports no torch."""
