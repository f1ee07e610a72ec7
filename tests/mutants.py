"""Whether the tests notice a changed decision: ``python -m tests.mutants``, after ``make setup``.

mutmut (configured in pyproject.toml) changes the modules that decide, one place at a time, and runs
their tests on each such mutant.  What no test notices has survived, and must be judged by name in
docs/mutants.md.  It works on a copy of the tree, so that nothing here changes under its feet.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".venv" / "mutants"
JUDGED = ROOT / "docs" / "mutants.md"
COPIED = ("huleedu", "tests", "config")
KILLED_SHARE_MIN = 0.9
_NOTICED = ("killed", "timeout")
_NAME_MARK = ".x"  # stands between a module's name and the function's


def copy_tree() -> None:
    """Make the copy anew."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(
            ROOT / name, COPY / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    shutil.copy2(ROOT / "pyproject.toml", COPY)


def run_mutmut(*arguments: str) -> str:
    """Run mutmut in the copy and return what it prints, a spinner among it.

    Raises ``RuntimeError`` with the end of that when it fails.
    """
    # Under CI hypothesis draws the same examples each time and knows no deadline.
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=COPY,
        env=os.environ | {"CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"mutmut {arguments[0]}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    return done.stdout


def outcomes(results: str) -> Mapping[str, str]:
    """Return what became of each mutant, from the lines of ``mutmut results --all true``."""
    pairs = (line.strip().rpartition(": ") for line in results.splitlines() if ": " in line)
    return {name: outcome for name, _, outcome in pairs if _NAME_MARK in name}


def table(became: Mapping[str, str]) -> Sequence[str]:
    """Return killed and all mutants, module by module and in total."""
    every, killed = Counter[str](), Counter[str]()
    for name, outcome in became.items():
        module = name.split(_NAME_MARK)[0]
        every[module] += 1
        killed[module] += outcome in _NOTICED
    rows = [(module, killed[module], every[module]) for module in sorted(every)]
    rows.append(("all", killed.total(), every.total()))
    return [f"{name:<40} {k:>5} / {n:<5} {k / n:6.1%}" for name, k, n in rows]


def missing_modules(became: Mapping[str, str]) -> Sequence[str]:
    """Return the configured modules of which there is no mutant at all."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    seen = {name.split(_NAME_MARK)[0] for name in became}
    modules = [path.removesuffix(".py").replace("/", ".") for path in configured["only_mutate"]]
    return [module for module in modules if module not in seen]


def report(became: Mapping[str, str], judged: str) -> tuple[Sequence[str], bool]:
    """Return what there is to tell, and whether it is good.

    That is: enough mutants were killed, and ``judged`` names every survivor.
    """
    survivors = [name for name, outcome in became.items() if outcome not in _NOTICED]
    unjudged = [name for name in survivors if f"`{name}`" not in judged]
    missing = missing_modules(became)
    killed = len(became) - len(survivors)
    lines = [
        *table(became),
        *(f"survived: {name}{' (not judged)' * (name in unjudged)}" for name in survivors),
        *(f"no mutants: {module}" for module in missing),
        f"{killed} killed, {len(survivors)} survived, {len(unjudged)} of them not judged",
    ]
    return lines, killed >= KILLED_SHARE_MIN * len(became) and not unjudged and not missing


def main() -> int:
    """Print the table and every survivor; 0: enough were killed, and each survivor is judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    jobs = parser.parse_args().jobs
    copy_tree()
    run_mutmut("run", "--max-children", str(jobs))
    became = outcomes(run_mutmut("results", "--all", "true"))
    lines, is_good = report(became, JUDGED.read_text())
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
