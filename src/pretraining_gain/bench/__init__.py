"""BENCH: measure training, decoding and evaluation against plain loops and against the network alone.

Imports the other packages; none of them imports it. `python -m pretraining_gain.bench` writes `results/bench/<device>.json`.

    measure   interleave contestants, pair their ratios      images    the JPEG files that all contestants read
    scale     how much each part does                        loops     our training beside torchvision's and timm's
    parts     limit, loaders, evaluation, parity, frozen     feeding   decoders, augmentation, and how they feed a device
    growth    the analysis up to the paper's size            simulated results of runs that nobody trained
"""
