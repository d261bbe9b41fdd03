"""The playground: choose a run by widgets, train it, watch it, see its gain (`notebooks/90_playground.ipynb`).

The one place where COMPUTE and TELL meet. They meet in files here, too: `train` is a process of its own, which trains with
the real core (and torch); the notebook's kernel follows its progress and tells of its results, and stays free to react.

    choices  what can be chosen, and the runs that a choice means     outcome  the gain, and the stored runs beside it
    work     what of it is to be done, and how long it may take       drawing  both as pictures
    train    the process that trains            training  starts, follows and stops it       panel  the widgets
"""

from pretraining_gain.playground.panel import Playground

__all__ = ["Playground"]
