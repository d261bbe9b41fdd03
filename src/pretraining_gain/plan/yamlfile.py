"""Read YAML strictly: a field that appears twice is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pretraining_gain.errors import InputError


class _Loader(yaml.SafeLoader):
    """Load plain values only. Fields are checked before merged ones (`<<`) come in."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in lines:
                    problem = f"{key.value!r} appears twice, first on line {lines[name]}; accepted: each field once"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                lines[name] = key.start_mark.line + 1
        return node


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
    """Parse YAML. Raises `InputError` with line and reason."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"line {mark.line + 1}: {error.problem or error.context}" if mark else str(error)
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-13-45 is a ValueError
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    raise InputError(reason)
