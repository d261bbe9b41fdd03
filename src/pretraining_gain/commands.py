"""Command lines: what is wrong with one, or with what it is about, is one line on stderr, and the exit code is not 0."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pretraining_gain.errors import TRY_AGAIN, InputError, Interrupted


class CommandLine(argparse.ArgumentParser):
    """Of `python -m pretraining_gain.<module>`. A mistake is one line that ends with what is accepted."""

    def __init__(self, module: str, about: str) -> None:
        super().__init__(prog=f"python -m pretraining_gain.{module}", description=about.split("\n")[0], allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        self.exit(2, f"{self.prog.rpartition('.')[2]}: {InputError(message)}; accepted: {usage}\n")


def whole_number(text: str) -> int:
    """For arguments that count something."""
    if not (text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def answer(name: str, work: Callable[[], object]) -> int:
    """Do the work of a command; returns its exit code."""
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (InputError, Interrupted) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return TRY_AGAIN if isinstance(error, Interrupted) else 1
    return 0


def about_a_study(
    module: str, about: str, work: Callable[[str], object], default: str, arguments: Sequence[str] | None = None
) -> int:
    """A command whose one argument is a study; returns its exit code."""
    parser = CommandLine(module, about)
    parser.add_argument("study", nargs="?", default=default, help="name in notebooks/studies/, or the path of a .yml file")
    study = parser.parse_args(arguments).study
    return answer(module.rpartition(".")[2], lambda: work(study))
