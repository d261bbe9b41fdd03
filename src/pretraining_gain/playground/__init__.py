"""The playground: choose a run with widgets, train it, watch it, see its gain (`notebooks/90_playground.ipynb`).

The one room that uses both COMPUTE and TELL, and they meet in files here, too: `train` is a separate process that trains with
the real core (and torch), while the notebook's kernel follows its progress, shows its results and stays free to react.

    choices  the possible choices, and the runs that they mean    outcome   the gain, and the stored runs beside it
    work     which runs are left, and how long they may take      pictures  curves and gains as plotly widgets
    train    the process that trains                              controls  the widgets for the choice
    training starts, follows and stops that process               panel     everything together
"""

from pretraining_gain.playground.panel import Playground

__all__ = ["Playground"]
