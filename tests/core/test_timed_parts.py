"""What has times of its own says them in UTC."""

from collections.abc import Iterator

from huleedu.core.messages.references import Part, TimedPart, moments_of


def _all_parts(part: type[Part] = Part) -> Iterator[type[Part]]:
    for kind in part.__subclasses__():
        yield kind
        yield from _all_parts(kind)


def test_whatever_has_times_brings_them_to_utc() -> None:
    """A message, or a piece of one, that has a time is a timed one; nobody may forget it."""
    with_times = {kind for kind in _all_parts() if moments_of(kind)}

    assert with_times
    assert {kind for kind in with_times if not issubclass(kind, TimedPart)} == set()
