"""Dead letters in words: what a list tells of them, and what one of them holds."""

import base64
from collections.abc import Mapping, Sequence

import msgspec

from huleedu.cli.output import print_json, print_table, print_text, tell
from huleedu.transport import replays
from huleedu.transport.dead_letter_box import DeadLetter, Survey

_KEY_CHARACTERS_MAX = 200


def outline(letter: DeadLetter) -> dict[str, object]:
    """Return what a list tells: nothing of the value, and no message of the error, which may
    quote it.
    """
    headers = letter.message.headers
    return {
        "id": letter.id,
        "state": letter.settlement or "waiting",
        "topic": letter.topic,
        "group": letter.group,
        "batch_id": letter.batch_id,
        "error_class": letter.cause("error-class"),
        "error_code": letter.cause("error-code"),
        "attempts": replays.attempts_of(headers),
        "replays": replays.replays_of(headers),
        "first_failed_at": replays.first_failed_at(headers),
        "failed_at": letter.cause("failed-at"),
        "bytes": len(letter.message.value),
    }


def print_list(letters: Sequence[DeadLetter], *, settled_too: bool) -> None:
    """Print one line for each."""
    columns = ["Id", "Topic", "Group", "Batch", "Error", "Attempts", "Replays", "Failed"]
    rows: list[list[object]] = []
    for letter in letters:
        told = outline(letter)
        row = [
            told[name]
            for name in (
                *("id", "topic", "group", "batch_id", "error_class"),
                *("attempts", "replays", "failed_at"),
            )
        ]
        rows.append([*row, told["state"]] if settled_too else row)
    print_table([*columns, "State"] if settled_too else columns, rows)


def whole(letter: DeadLetter) -> dict[str, object]:
    """Return all there is, for JSON: ``value`` when it is JSON itself, and the bytes in any case.

    The keys of :func:`outline`, and ``headers``, ``key_base64``, ``value_base64``, ``value``.
    """
    message = letter.message
    value: object = None
    if _pretty(message.value) is not None:
        value = msgspec.Raw(message.value)
    return {
        **outline(letter),
        "headers": dict(message.headers),
        "key_base64": base64.b64encode(message.key).decode(),
        "value_base64": base64.b64encode(message.value).decode(),
        "value": value,
    }


def print_whole(letter: DeadLetter, characters_max: int) -> None:
    """Print all there is, the value as JSON or with what is not to be read escaped."""
    message = letter.message
    rows = [["State", letter.settlement or "waiting"], ["Topic", letter.topic]]
    rows.append(["Key", _escaped(message.key)[:_KEY_CHARACTERS_MAX]])
    rows += [[name, _one_line(text)] for name, text in sorted(message.headers.items())]
    print_table(["Dead letter", letter.id], rows)
    pretty = _pretty(message.value)
    text = _escaped(message.value if pretty is None else pretty)
    print_text(f"\n{text[:characters_max]}")
    if len(text) > characters_max:
        tell(f"… and {len(text) - characters_max:,} characters more: --characters, or --json.")


def print_survey(found: Survey) -> None:
    """Print of which kind those are that would be settled, and how many of each."""
    if found.counts:
        print_table(
            ["Topic", "Group", "Error", "Dead letters"],
            [
                [kind.topic, kind.group, kind.error_class, count]
                for kind, count in sorted(found.counts.items())
            ],
        )
    tell_refused(found.refused)


def survey_as_json(found: Survey) -> dict[str, object]:
    """Return the same for JSON."""
    kinds = [
        {**msgspec.to_builtins(kind), "count": count}
        for kind, count in sorted(found.counts.items())
    ]
    return {"ids": found.ids, "kinds": kinds, "refused": found.refused}


def tell_refused(refused: Mapping[str, str]) -> None:
    """Say which cannot be replayed, and why."""
    for name, why in refused.items():
        tell(f"{name} stays: {why}.")


def print_outcome(word: str, done: int, found: Survey, *, as_json: bool) -> None:
    """Print how many were replayed or discarded, and what was left."""
    left = len(found.ids) - done
    if as_json:
        print_json({word: done, "left": left, "refused": found.refused})
        return
    print_text(f"{word}: {done:,}")
    if left:
        tell(
            f"{left:,} stay as they were: somebody else settled them, they were replayed to the "
            "same groups before, or they are too large."
        )
    tell_refused(found.refused)


def _pretty(value: bytes) -> bytes | None:
    """Return JSON indented; None for what is none."""
    try:
        value.decode()
        return msgspec.json.format(value, indent=2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _escaped(value: bytes) -> str:
    r"""Return bytes as text in which everything that is not to be read is ``\x…`` or ``\u…``."""
    text = value.decode(errors="backslashreplace")
    return "".join(
        letter
        if letter.isprintable() or letter == "\n"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _one_line(text: str) -> str:
    return _escaped(text.encode(errors="backslashreplace")).replace("\n", "\\n")
