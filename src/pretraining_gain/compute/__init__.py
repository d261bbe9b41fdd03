"""COMPUTE: images, networks, training, evaluation (torch). Writes records, predictions and weights under `results/`."""
