"""Command lines: every mistake is one line on stderr, with a non-zero exit code."""

from __future__ import annotations

import argparse
import codecs
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from pretraining_gain.errors import TRY_AGAIN, InputError, Interrupted

#: What a terminal that knows only ASCII, latin-1 or cp1252 shows instead.
_PLAIN = {"−": "-", "–": "-", "→": "->", "×": "x", "·": "*", "…": "...", "≥": ">=", "≤": "<=", "≈": "~"}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """Spell out the characters that a terminal cannot show."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error("plainly", _plainly)


#: What a disk says of itself or of a name; no fault of the code.
_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG
)  # fmt: skip
#: What is accepted where a disk refused.
USABLE_DISK = "a disk with room, and files that you can use"
#: Exit code of a command that Ctrl-C stopped, as shells have it: 128 and the number of SIGINT.
_STOPPED = 130


class CommandLine(argparse.ArgumentParser):
    """The argument parser that all commands share. A mistake is one line that ends with what is accepted."""

    def __init__(self, module: str, about: str) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="plainly")
        super().__init__(prog=f"python -m pretraining_gain.{module}", description=about.split("\n")[0], allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        self.exit(2, f"{self.prog.rpartition('.')[2]}: {InputError(message)}; accepted: {usage}\n")


def whole_number(text: str) -> int:
    """Parse an argument that counts something."""
    if not (text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def answer(name: str, work: Callable[[], object]) -> int:
    """Do the work of a command; return its exit code."""
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader stopped, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (InputError, Interrupted) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return TRY_AGAIN if isinstance(error, Interrupted) else 1
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return _STOPPED
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        place = f"{error.filename}: " if error.filename else ""
        accepted = "a shorter name" if error.errno == errno.ENAMETOOLONG else USABLE_DISK
        print(f"{name}: {place}{error.strerror}; accepted: {accepted}", file=sys.stderr)
        return 1
    return 0


def about_a_study(module: str, about: str, work: Callable[[str], object], default: str) -> int:
    """Run a command whose one argument is a study; return its exit code."""
    parser = CommandLine(module, about)
    parser.add_argument("study", nargs="?", default=default, help="name in notebooks/studies/, or the path of a .yml file")
    study = parser.parse_args().study
    return answer(module.rpartition(".")[2], lambda: work(study))
