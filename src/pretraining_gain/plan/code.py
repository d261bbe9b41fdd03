"""Hash the code that a run or a notebook depends on, so that a change re-makes what reads it and nothing else.

Sources are read as text, never imported. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pretraining_gain.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
_NAME = PACKAGE.name
#: Modules of `compute` outside every fingerprint. The rule: such a module handles no tensor. It imports no library that
#: computes, and training code takes no number from it. A test holds both.
NOT_HASHED = {f"{_NAME}.compute.progress", f"{_NAME}.compute.records"}
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_BLOCKS = {tokenize.INDENT: "<", tokenize.DEDENT: ">", tokenize.NEWLINE: "\n"}
#: Literal text of an f-string, in which Python 3.12 and later write each doubled brace once; 3.11 has no such token.
_WITHIN_F_STRING = getattr(tokenize, "FSTRING_MIDDLE", None)


@cache
def code_hash(*modules: str) -> str:
    """Hash modules of the package (e.g. `compute.pretrain`) and all modules of `compute` and `datasets` that they import.

    Modules in `NOT_HASHED` do not count, nor does other code: what the plan decides is in a fingerprint as data. A process
    reads them once: it goes on with the code that it has loaded, whatever happens to the files.
    """
    return digest_of(hashed_modules(*modules))


def hashed_modules(*modules: str) -> dict[str, Path]:
    """Return the modules that `code_hash` covers: full name -> source file."""
    within = (f"{_NAME}.compute.", f"{_NAME}.datasets.")
    found = _reached([f"{_NAME}.{module}" for module in modules], within)
    return {name: path for name, path in found.items() if name not in NOT_HASHED}


def inputs_of(notebook: Path) -> list[Path]:
    """Return the files of the package that `notebook` (or a module) depends on.

    These are modules that it imports, transitively, and the tables of `metadata/` that they name. The class tables of a
    study follow from the study.
    """
    sources = [*_reached(_imports(_tree_of(notebook)), within=f"{_NAME}.").values()]
    sources += [notebook] if notebook.suffix == ".py" else []
    tables = {table for path in sources for table in _read(path, path.stat().st_mtime_ns)[2]}
    return sorted([*sources, *(PACKAGE / "metadata" / table for table in tables)])


def names_in(sources: Iterable[Path]) -> set[str]:
    """Return all strings in some modules, such as the names of studies and of result folders that they read."""
    return {text for path in sources if path.suffix == ".py" for text in _read(path, path.stat().st_mtime_ns)[3]}


def normalised(source: str) -> str:
    """Strip comments, docstrings, spaces and trailing commas from Python `source`, alike under every Python version."""
    kept: list[str] = []
    starts_line = True
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in _LAYOUT]
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        text = _BLOCKS.get(token.type, "".join(token.string.split()))
        if token.type == _WITHIN_F_STRING:
            kept.append(text.replace("{", "{{").replace("}", "}}"))
            continue
        if token.type == tokenize.STRING and starts_line and after and after.type == tokenize.NEWLINE:
            continue  # a docstring
        if (text == "," and after and after.string in (")", "]", "}")) or (text == "\n" and starts_line):
            continue  # a trailing comma; the end of a line that held only a docstring
        kept.append(text)
        starts_line = token.type in _BLOCKS
    return "".join(kept)


def digest_of(files: dict[str, Path]) -> str:
    """Hash modules by name and code, without comments and docstrings."""
    parts = [f"{name} {_read(path, path.stat().st_mtime_ns)[0]}" for name, path in sorted(files.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _reached(modules: list[str], within: str | tuple[str, ...]) -> dict[str, Path]:
    """Follow imports from `modules` to every module whose name starts with `within`."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        base = PACKAGE.joinpath(*module.split(".")[1:])
        path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
        if module.startswith(within) and module not in found and path:
            found[module] = path
            waiting += [*_read(path, path.stat().st_mtime_ns)[1], module.rpartition(".")[0]]  # a package runs first
    return found


@cache
def _read(path: Path, _mtime_ns: int) -> tuple[str, list[str], list[str], set[str]]:
    """Return the code of a module as far as it counts, the modules it imports, the tables of `metadata/` it names,
    and its strings."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    loads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and "load_class_table" in ast.unparse(node.func)]
    strings |= {f"{argument.value!s}.csv" for call in loads for argument in call.args if isinstance(argument, ast.Constant)}
    tables = [table.name for table in (PACKAGE / "metadata").glob("*.csv*") if table.name in strings]
    return normalised(_without_declaration(source, tree)), _imports(tree), tables, strings


def _without_declaration(source: str, tree: ast.Module) -> str:
    """Cut `DATASET = …` out of a dataset's module: it changes no image, and its options are in a fingerprint as data."""
    lines = source.splitlines(keepends=True)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DATASET":
            lines[node.lineno - 1 : node.end_lineno] = []
    return "".join(lines)


def _tree_of(notebook: Path) -> ast.Module:
    """Parse the code of a notebook, or of a Python file."""
    try:
        text = notebook.read_text(encoding="utf-8")
        if notebook.suffix == ".ipynb":
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
            text = "\n".join(line for line in lines if not line.startswith(("%", "!")))
        return ast.parse(text)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise InputError(f"{notebook} cannot be read ({error}); accepted: a notebook of Python code") from None


def _imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # for type checkers only
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
