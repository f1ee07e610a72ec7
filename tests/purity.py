"""Which files decide without a clock, a store or a network, and what in them would be one.

A file is held to it when the first paragraph of its docstring says that it is pure, its package's
does, or ``pyproject.toml`` names it in the contract "Decisions are pure".
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

CONTRACT = "Decisions are pure"
_PURE = re.compile(r"\bpure\b")
_WORLD = frozenset(
    {
        *("os", "io", "sys", "time", "random", "secrets", "socket", "subprocess", "threading"),
        *("asyncio", "anyio", "signal", "shutil", "tempfile", "glob", "platform", "locale"),
        *("sqlite3", "logging", "structlog", "httpx", "litestar", "urllib"),
    }
)
"""Modules by which a decision would look at the world, or change it."""
_HANDED_IN = frozenset({("random", "Random"), ("io", "BytesIO"), ("io", "StringIO")})
"""What is taken from them as the type of an argument, or keeps bytes in memory."""
_BUILT_IN = frozenset({"open", "input", "print", "exec", "eval", "__import__"})
_CALLS = frozenset(
    {
        *("now", "utcnow", "today", "fromtimestamp", "uuid1", "uuid4", "Random", "SystemRandom"),
        *("read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "iterdir"),
        *("import_module", "getenv"),
    }
)
"""Names whose call has no place in a decision, whatever they are called on."""


def pure_files(root: Path) -> Sequence[Path]:
    """Return the files that are to be pure, as paths from the root."""
    files = sorted(path.relative_to(root) for path in (root / "huleedu").rglob("*.py"))
    named = {path for pattern in _named(root) for path in root.glob(pattern)}
    return [
        file
        for file in files
        if root / file in named or _claims(root / file) or _claims(root / file.parent)
    ]


def _named(root: Path) -> Sequence[str]:
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    (contract,) = [
        one for one in settings["tool"]["importlinter"]["contracts"] if one["name"] == CONTRACT
    ]
    return [name.replace(".", "/") + ".py" for name in contract["source_modules"]]


def _claims(path: Path) -> bool:
    file = path / "__init__.py" if path.is_dir() else path
    told = ast.get_docstring(ast.parse(file.read_text())) or ""
    return bool(_PURE.search(told.partition("\n\n")[0]))


def purity_faults(source: str) -> Sequence[str]:
    """Return what in this source looks at the world, each with its line."""
    return [
        f"line {node.lineno}: {what}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt | ast.expr)
        for what in _looks_out(node)
    ]


def _looks_out(node: ast.stmt | ast.expr) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (f"import {one.name}" for one in names if _is_world(one.name))
        case ast.ImportFrom(module=str(module), names=names):
            yield from (
                f"from {module} import {one.name}"
                for one in names
                if (module, one.name) not in _HANDED_IN
                and (_is_world(module) or one.name in _CALLS)
            )
        case ast.Call(func=ast.Name(id=name)) if name in _BUILT_IN | _CALLS:
            yield f"{name}()"
        case ast.Call(func=ast.Attribute(attr=name)) if name in _CALLS:
            yield f".{name}()"
        case ast.Attribute(attr="environ" | "argv" as name):
            yield name
        case ast.Await() | ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith():
            yield "it waits for something"
        case ast.Global(names=names):
            yield f"global {', '.join(names)}"
        case _:
            pass


def _is_world(module: str) -> bool:
    return module.partition(".")[0] in _WORLD
