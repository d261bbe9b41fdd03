"""BENCH: measure training, decoding and evaluation against plain loops and against the network alone.

Imports the other packages; none of them imports it. `python -m pretraining_gain.bench` writes `results/bench/<device>.json`:
`parts` says what is compared, `images` and `loops` provide the JPEG files and the plain loops, `measure` takes turns and times.
`growth` measures the analysis up to the paper's size, on results of `simulated` runs, and `clone` the way from clone to book.
"""
