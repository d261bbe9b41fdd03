"""Read YAML 1.2 strictly, and write it. `010` is ten, `1e-3` a number, `yes` a word; a field that appears twice is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError

from pretraining_gain.errors import InputError


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises `InputError` with the line when it cannot be read, is not UTF-8 or not YAML."""
    try:
        return parse_yaml(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 ({error.reason} at byte {error.start})"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except InputError as error:
        reason = f"cannot be read: {error}"
    raise InputError(f"{path}: {reason}; accepted: a YAML file saved as UTF-8")


def parse_yaml(text: str) -> Any:
    """Parse YAML into plain values. Raises `InputError` with line and reason."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"line {mark.line + 1}: {error.problem or error.context}" if mark else str(error)
        if isinstance(error, DuplicateKeyError):
            reason = f"{reason.partition(' with value')[0]}; accepted: each field once"
    except (YAMLError, ValueError, TypeError) as error:  # a date such as 2026-13-45 is a ValueError
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    raise InputError(reason)


def in_yaml(value: Any) -> str:
    """Write a plain value as one line of YAML that `parse_yaml` reads back, with letters of all scripts as they are."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in text)
