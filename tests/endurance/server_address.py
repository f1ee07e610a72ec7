"""Where a program answers that is started again and again, each time on another port."""

from dataclasses import dataclass


@dataclass
class Address:
    """The address of now."""

    url: str = ""
