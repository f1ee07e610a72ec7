"""The table of an endurance run tells what held and what did not."""

from tests.endurance.report import Finding, table


def test_what_broke_is_told_with_its_fault_and_counted() -> None:
    """One line a promise, one a fault, and the sum at the end."""
    findings = [Finding("a stop", "20 stops"), Finding("a kill", "3 kills", ["one was lost"])]

    assert table(findings).splitlines() == [
        "ok      a stop  20 stops",
        "BROKEN  a kill  3 kills",
        "BROKEN a kill: one was lost",
        "1 passed, 1 failed",
    ]
