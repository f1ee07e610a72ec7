"""Which offsets of a partition are settled, small enough to be kept as a group's offset.

A group offset says "everything before here"; what lies behind it, scattered, goes into the text
that Kafka keeps beside an offset.
"""

import base64
import binascii
import zlib
from typing import Self

import msgspec

from huleedu.core.errors import Conflict, Misconfigured

TEXT_BYTES_MAX = 4_000
"""Below what a broker takes by default (``offset.metadata.max.bytes``, 4,096)."""
_INFLATED_BYTES_MAX = 4_000_000
_FORM = "1:"


class SettledOffsets(msgspec.Struct, frozen=True):
    """Every offset below ``start``, and those of the ranges behind it."""

    start: int
    ranges: tuple[tuple[int, int], ...] = ()
    """First and following offset of each; ascending, with room between them and ``start``."""

    def __contains__(self, offset: int) -> bool:
        return offset < self.start or any(first <= offset < end for first, end in self.ranges)

    def added(self, ranges: list[tuple[int, int]]) -> Self:
        """Return these and all offsets of more ranges (first, following), in any order."""
        start = self.start
        joined: list[tuple[int, int]] = []
        for first, end in sorted([*self.ranges, *ranges]):
            if first <= start:
                start = max(start, end)
            elif joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((first, end))
        return type(self)(start, tuple(joined))

    def within(self, log: range) -> Self:
        """Return what of it is in a log; of a log that was begun anew, nothing."""
        if self.start > log.stop or (self.ranges and self.ranges[-1][1] > log.stop):
            return type(self)(log.start)
        return type(self)(log.start).added([(0, self.start), *self.ranges])

    def as_text(self) -> str:
        """Return the ranges as text.

        Raises ``Conflict`` when they are too many for it (random ones: about two thousand).
        """
        if not self.ranges:
            return ""
        steps: list[str] = []
        at = self.start
        for first, end in self.ranges:
            steps.append(f"{first - at:x}.{end - first:x}")
            at = end
        packed = base64.b85encode(zlib.compress(",".join(steps).encode(), 9))
        if len(_FORM) + len(packed) > TEXT_BYTES_MAX:
            raise Conflict(
                f"{len(self.ranges):,} groups of settled dead letters lie scattered among waiting "
                "ones, more than Kafka remembers for us; replay or discard the oldest ones first"
            )
        return _FORM + packed.decode()

    @classmethod
    def from_text(cls, start: int, text: str) -> Self:
        """Return what was kept as this offset and text.  Raises ``Misconfigured``."""
        if not text:
            return cls(start)
        try:
            if not text.startswith(_FORM):
                raise ValueError("of another form")
            inflating = zlib.decompressobj()
            packed = base64.b85decode(text.removeprefix(_FORM))
            steps = inflating.decompress(packed, _INFLATED_BYTES_MAX).decode()
            ranges: list[tuple[int, int]] = []
            at = start
            for step in steps.split(","):
                room, length = (int(number, 16) for number in step.split("."))
                ranges.append((at + room, at + room + length))
                at += room + length
        except (ValueError, zlib.error, binascii.Error) as error:
            raise Misconfigured(
                f"what is kept beside offset {start} was not written by this program: {text[:40]!r}"
            ) from error
        return cls(start).added(ranges)
