"""Fingerprint of a stage's code, so that a change of it re-runs what depends on it and nothing else."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_NAME = _PACKAGE.name
_BOOKKEEPING = {
    f"{_NAME}.compute.{module}" for module in ("batchnorm", "checkpoints", "launch", "machine", "progress", "records")
}
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_BLOCKS = {tokenize.INDENT: "<", tokenize.DEDENT: ">", tokenize.NEWLINE: "\n"}


def code_hash(*modules: str) -> str:
    """Hash of the given modules (e.g. `compute.pretrain`) and of every `compute` module that they import, as code.

    Read as text, never imported. Comments, docstrings and layout do not count, nor does what cannot change a number:
    bookkeeping, and all outside `compute` (what plan decides is in a run's fingerprint as data).
    """
    found: dict[str, str] = {}
    waiting = [f"{_NAME}.{module}" for module in modules]
    while waiting:
        module = waiting.pop()
        path = _source_of(module)
        if module in found or module in _BOOKKEEPING or path is None:
            continue
        found[module], imports = _read(path, path.stat().st_mtime_ns)
        waiting += [name for name in imports if name.startswith(f"{_NAME}.compute.")]
    return hashlib.sha256("\n".join(f"{name} {found[name]}" for name in sorted(found)).encode()).hexdigest()


def _source_of(module: str) -> Path | None:
    base = _PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _read(path: Path, _mtime_ns: int) -> tuple[str, list[str]]:
    source = path.read_text(encoding="utf-8")
    return normalised(source), _imports(ast.parse(source))


def normalised(source: str) -> str:
    """Python `source` without comments, docstrings, spaces and trailing commas; the same under every Python version."""
    kept: list[str] = []
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in _LAYOUT]
    following = [*tokens[1:], None]
    for token, after in zip(tokens, following, strict=True):
        starts_line = not kept or kept[-1] in _BLOCKS.values()
        text = _BLOCKS.get(token.type, "".join(token.string.split()))
        if token.type == tokenize.STRING and starts_line and after and after.type == tokenize.NEWLINE:
            continue  # a docstring
        if (text == "," and after and after.string in (")", "]", "}")) or (text == "\n" and starts_line):
            continue  # a trailing comma; the end of a line that held only a docstring
        kept.append(text)
    return "".join(kept)


def _imports(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
