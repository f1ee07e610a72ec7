"""What a module does with the messages that it hears: one function for each type of message."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from huleedu.core.enums import ProcessingEvent
from huleedu.core.messages import EventData
from huleedu.core.topics import event_of, topic_name
from huleedu.transport.consumer import Heard

DataT = TypeVar("DataT", bound=EventData)
FetchT = TypeVar("FetchT")


class On(Generic[FetchT]):
    """All messages of this type in a fetch go to this function at once, in their order."""

    # Generic in the type of the data here only: a function of another type is a fault for mypy.
    def __init__(
        self, data_type: type[DataT], do: Callable[[FetchT, Sequence[Heard[DataT]]], None]
    ) -> None:
        self.event = event_of(data_type)
        self.do: Callable[[FetchT, Sequence[Heard[Any]]], None] = do


class Hearing(Generic[FetchT]):
    """The table of a module: what it listens to, and in which order it takes the types of a fetch.

    ``FetchT`` is what its functions work on, the connection of the transaction at least.
    """

    def __init__(self, *rows: On[FetchT]) -> None:
        self._functions = {row.event: row.do for row in rows}

    @property
    def topics(self) -> Sequence[str]:
        """The topics to subscribe to."""
        return [topic_name(event) for event in self._functions]

    def take(self, fetch: FetchT, heard: Sequence[Heard]) -> None:
        """Call the function of each type that is there, in the order of the table.

        Raises what they raise, and ``KeyError`` for a message that the table does not name.
        """
        # In one pass: a fetch holds thousands.
        by_event: dict[ProcessingEvent, list[Heard[Any]]] = {event: [] for event in self._functions}
        for one in heard:
            by_event[one.event].append(one)
        for event, messages in by_event.items():
            if messages:
                self._functions[event](fetch, messages)
