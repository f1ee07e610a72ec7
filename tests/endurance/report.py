"""What an endurance run found: one line each, and the sum."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One promise, what was done to it, and what was seen."""

    promise: str
    seen: str
    faults: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return not self.faults


def table(findings: Sequence[Finding]) -> str:
    """Return a table of the findings, every fault, and the last line ``N passed, N failed``."""
    width = max((len(one.promise) for one in findings), default=0)
    lines = [
        f"{'ok    ' if one.holds else 'BROKEN'}  {one.promise:<{width}}  {one.seen}"
        for one in findings
    ]
    lines += [f"BROKEN {one.promise}: {fault}" for one in findings for fault in one.faults]
    passed = sum(one.holds for one in findings)
    return "\n".join([*lines, f"{passed} passed, {len(findings) - passed} failed"])
