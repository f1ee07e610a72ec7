"""The roles that a deployment is made of: which module each runs, and which part of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Role:
    """A part of a module that can run in a process of its own."""

    name: str
    module: str
    """The section of its settings; empty: it belongs to none."""
    answers: bool = False
    """It serves the module's HTTP routes."""
    hears: bool = False
    """It is a member of the module's consumer group."""
    relays: bool = False
    """It writes what the module says into the outbox, and publishes it from there."""


ROLES: Mapping[str, Role] = MappingProxyType(
    {
        role.name: role
        for role in (
            Role("bos", "bos", answers=True, relays=True),
            Role("bos-worker", "bos", hears=True, relays=True),
            Role("els-api", "els", answers=True),
            Role("els-worker", "els", hears=True, relays=True),
            Role("files", "files", answers=True, hears=True, relays=True),
            Role("content", "content", answers=True),
            Role("spellcheck-worker", "spellcheck", hears=True),
            # It says nothing, but its dead letters leave through its outbox.
            Role("results", "results", answers=True, hears=True, relays=True),
            Role("topics", ""),
        )
    }
)
"""Name → role, in the order in which they are told."""

TOPICS_ROLE = "topics"
"""The one that makes the topics and is done."""


def modules_of(names: Iterable[str]) -> frozenset[str]:
    """Return the modules that the roles of these names run."""
    return frozenset(ROLES[name].module for name in names) - {""}
