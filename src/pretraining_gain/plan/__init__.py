"""PLAN: classes, subsets, recipes, studies, and the list of runs they mean. Imports no torch, touches no data."""
