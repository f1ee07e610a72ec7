"""How the table of mutants is read: what survives and was not judged is told."""

from tests.mutants import missing_modules, outcomes, report, table

RESULTS = """
    huleedu.els.decide.x_take__mutmut_1: killed
    huleedu.els.decide.x_take__mutmut_2: timeout
    huleedu.els.decide.x_take__mutmut_3: survived
    huleedu.transport.breaker.xǁTallyǁdone__mutmut_1: no tests
"""


def test_each_module_has_its_share_of_killed_mutants() -> None:
    """A mutant that runs for ever was noticed; one that no test reaches was not."""
    assert [line.split() for line in table(outcomes(RESULTS))] == [
        ["huleedu.els.decide", "2", "/", "3", "66.7%"],
        ["huleedu.transport.breaker", "0", "/", "1", "0.0%"],
        ["all", "2", "/", "4", "50.0%"],
    ]


def test_a_survivor_that_nobody_judged_fails_the_check() -> None:
    """So does a module without mutants, and a share below nine of ten."""
    survivor = "huleedu.els.decide.x_take__mutmut_3"
    lines, is_good = report(outcomes(RESULTS), f"`{survivor}` is equivalent")

    assert not is_good
    assert f"survived: {survivor}" in lines
    assert "survived: huleedu.transport.breaker.xǁTallyǁdone__mutmut_1 (not judged)" in lines
    assert lines[-1] == "2 killed, 2 survived, 1 of them not judged"


def test_enough_killed_and_every_survivor_judged_is_good() -> None:
    """Of every configured module."""
    modules = missing_modules({})
    became = {f"{module}.x_f__mutmut_{n}": "killed" for module in modules for n in range(10)}
    survivor = f"{modules[0]}.x_f__mutmut_0"

    assert report(became | {survivor: "survived"}, f"`{survivor}`")[1]
    assert not report(became | {survivor: "survived"}, survivor)[1]
    assert not report({one: "killed" for one in became if modules[0] not in one}, "")[1]
