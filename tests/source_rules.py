"""The rules for source files that ruff does not know; each returns what is wrong."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

LINES_MAX = 400
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 50
BANNED_NAME = re.compile(r"(utils?|helpers?|managers?|commons?|services?|base|misc|stuff)")
# The loops that must outlive whatever they run; everything else lets errors go up.
CATCHES_EVERYTHING = {
    "huleedu/cli/failures.py",  # a bug becomes exit code 70
    "huleedu/core/background.py",  # a dead background task is reported, and ends the process
    "huleedu/transport/delivering.py",  # the delivery loop: every fault has a verdict
    # What steps through coroutines itself hands on whatever they throw, or tells it with its seed.
    "tests/endurance/mortal.py",
    "tests/simulation/deliveries.py",
    "tests/simulation/loop.py",
    "tests/simulation/platform.py",
    "tests/simulation/process.py",
    "tests/simulation/run.py",
}
PRAGMA = re.compile(r"  # (noqa|type: ignore).*$")  # as ruff: it may stand beyond the line's end
PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[A-Za-z0-9.+!-]+( ; .+)?")


def python_files(root: Path) -> list[Path]:
    """Return every Python file of the project, as a path from its root."""
    return sorted(
        path.relative_to(root)
        for path in root.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def faults(root: Path, file: Path) -> list[str]:
    """Return everything that is wrong with one Python file."""
    text = (root / file).read_text()
    tree = ast.parse(text)
    found = [*_name_faults(file), *_size_faults(text)]
    if file.parts[0] == "huleedu":  # a test may tell a longer story
        found += _function_faults(tree)
    found += _except_faults(tree, anything=file.as_posix() in CATCHES_EVERYTHING)
    return [f"{file}: {fault}" for fault in found]


def _name_faults(file: Path) -> Iterator[str]:
    for part in (*file.parent.parts, file.stem):
        if any(BANNED_NAME.fullmatch(word) for word in part.lower().split("_")):
            yield f"the name {part} says nothing of what is inside"


def _size_faults(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        yield f"{len(lines)} lines; {LINES_MAX} are allowed: it is two files in one"
    for number, line in enumerate(lines, 1):
        columns = len(PRAGMA.sub("", line))
        if columns > COLUMNS_MAX:
            yield f"line {number} has {columns} characters; {COLUMNS_MAX} are allowed"


def _function_faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        # Without signature and docstring: both should say what there is to say.
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
            first, last = (told[0].lineno, told[-1].end_lineno or 0) if told else (0, 0)
            lines = last - first + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines; {FUNCTION_LINES_MAX} are allowed"


def _except_faults(tree: ast.Module, *, anything: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            named = _names(node.type)
            if node.type is None:
                yield f"line {node.lineno}: a bare except"
            elif "Exception" in named and not anything:
                yield f"line {node.lineno}: except Exception, outside the loops that may"
            elif "BaseException" in named and not _raises(node) and not anything:
                yield f"line {node.lineno}: except BaseException that raises nothing"
        elif isinstance(node, ast.Call) and "suppress" in _names(node.func):
            swallowed = {name for argument in node.args for name in _names(argument)}
            if swallowed & {"Exception", "BaseException"}:
                yield f"line {node.lineno}: everything is suppressed"


def _names(node: ast.expr | None) -> set[str]:
    if node is None:
        return set()
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return names | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def dependency_faults(pyproject: str, runtime: str) -> list[str]:
    """Return where requirements/runtime.in differs from the dependencies of pyproject.toml."""
    declared = {
        re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0]
        for one in tomllib.loads(pyproject)["project"]["dependencies"]
    }
    lines = (line.split("#")[0].strip() for line in runtime.splitlines())
    listed = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0] for line in lines if line}
    return [f"only in pyproject.toml: {name}" for name in sorted(declared - listed)] + [
        f"only in runtime.in: {name}" for name in sorted(listed - declared)
    ]


def pin_faults(text: str) -> list[str]:
    """Return what a file of pinned requirements lacks: one version and hashes for every line, and
    nothing that names where packages come from."""
    found = []
    for entry in text.replace("\\\n", " ").splitlines():
        line = entry.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line)
        if not PINNED.fullmatch(requirement.strip()):
            found.append(f"not one pinned version: {requirement}")
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes):
            found.append(f"without its hashes: {requirement}")
        if "://" in entry:
            found.append(f"names a host: {requirement}")
    return found
