"""The index of one language: which correct words are a few letters away from a misspelt one.

It holds the words of wordfreq that the dictionaries accept, their frequencies, and SymSpell's
symmetric deletes over them: two words within two edits of one another share a form that each
gives when at most two of its letters are left out.  symspellpy works out the deletes when the
index is built; here they lie in flat arrays, so that loading is one read and forked processes
share the memory.
"""

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from huleedu.spellcheck.dictionary import WORD_LETTERS_MAX, Dictionary

EDITS_MAX = 2
PREFIX_LETTERS = 7
"""Deletes are made from this many first letters only (SymSpell's own default)."""

NAME_ZIPF_MIN = 3.0
"""Words that are right only with a capital are kept from this frequency on (once a million)."""

Progress: TypeAlias = Callable[[str], None]


class Entry(NamedTuple):
    """One correct word."""

    word: str
    zipf: float  # log10 of occurrences per 10^9 words


class _Parts(msgspec.Struct, frozen=True, array_like=True):
    """What the file holds, before its arrays are given their types."""

    words: str
    zipfs: bytes
    letters: bytes
    starts: bytes
    postings: bytes


class Index:
    """Finds the correct words near a misspelt one.  Made by ``build`` or ``decode``."""

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._words = parts.words.split("\n")
        self._zipfs = memoryview(parts.zipfs).cast("f")
        self._letters = memoryview(parts.letters).cast("I")
        self._starts = memoryview(parts.starts).cast("I")
        self._postings = memoryview(parts.postings).cast("I")
        self._mask = len(self._starts) - 2

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self._words)

    def near(self, word: str) -> Iterator[Entry]:
        """Yield the words that may be within ``EDITS_MAX`` edits of the lower-case ``word``.

        More than those: the caller measures the distance.  Each is yielded once, the most
        frequent first.
        """
        starts, postings, mask = self._starts, self._postings, self._mask
        numbers: set[int] = set()
        for form in deletes(word):
            bucket = zlib.crc32(form.encode()) & mask
            numbers.update(postings[starts[bucket] : starts[bucket + 1]])
        used, letters = letter_set(word), self._letters
        for number in sorted(numbers):  # wordfreq lists words by falling frequency
            differing = used ^ letters[number]
            # Each edit adds at most one letter to either side and takes away at most one.
            if (
                (differing & used).bit_count() <= EDITS_MAX
                and (differing & ~used).bit_count() <= EDITS_MAX
                and abs(len(self._words[number]) - len(word)) <= EDITS_MAX
            ):
                yield Entry(self._words[number], self._zipfs[number])

    def encode(self) -> bytes:
        """Return the file's content."""
        return msgspec.msgpack.encode(self._parts)


def decode(content: bytes) -> Index:
    """Return the index that :meth:`Index.encode` wrote.

    Raises ``msgspec.DecodeError`` (or ``ValidationError``) for anything else.
    """
    return Index(msgspec.msgpack.decode(content, type=_Parts))


def letter_set(word: str) -> int:
    """Return a bit for each letter that occurs in ``word`` (32 bits: some letters share one)."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 31)
    return bits


def deletes(word: str) -> set[str]:
    """Return every form of the word's prefix with at most ``EDITS_MAX`` letters left out."""
    forms = {word[:PREFIX_LETTERS]}
    shortened = forms
    for _ in range(EDITS_MAX):
        shortened = {
            form[:place] + form[place + 1 :] for form in shortened for place in range(len(form))
        }
        forms = forms | shortened
    return forms


def build(dictionary: Dictionary, progress: Progress) -> Index:
    """Build the index from wordfreq and the dictionaries: 10-40 s of one core."""
    language = dictionary.language
    progress(f"{language}: choosing the words that the dictionaries accept")
    entries = list(_entries(dictionary))
    progress(f"{language}: indexing {len(entries):,} words")
    return index_of(entries)


def index_of(entries: Sequence[Entry]) -> Index:
    """Return the index over ``entries``, which come in the order of falling frequency."""
    starts, postings = _symmetric_deletes([entry.word.lower() for entry in entries])
    return Index(
        _Parts(
            words="\n".join(entry.word for entry in entries),
            zipfs=array("f", (entry.zipf for entry in entries)).tobytes(),
            letters=array("I", (letter_set(entry.word.lower()) for entry in entries)).tobytes(),
            starts=starts.tobytes(),
            postings=postings.tobytes(),
        )
    )


def _entries(dictionary: Dictionary) -> Iterator[Entry]:
    # Only building needs wordfreq (and its memory).
    from wordfreq import freq_to_zipf, get_frequency_dict  # noqa: PLC0415

    for word, frequency in get_frequency_dict(dictionary.language.value, "best").items():
        if not _spellable(word):
            continue
        zipf = freq_to_zipf(frequency)
        if dictionary.accepts(word):
            yield Entry(word, zipf)
        elif zipf >= NAME_ZIPF_MIN and dictionary.accepts(word.capitalize()):
            yield Entry(word.capitalize(), zipf)


def _spellable(word: str) -> bool:
    return len(word) <= WORD_LETTERS_MAX and word.replace("'", "").isalpha()


def _symmetric_deletes(words: Sequence[str]) -> tuple["array[int]", "array[int]"]:
    """Return SymSpell's table as bucket starts and word numbers; see :class:`Index`."""
    from symspellpy import SymSpell  # noqa: PLC0415

    speller = SymSpell(max_dictionary_edit_distance=EDITS_MAX, prefix_length=PREFIX_LETTERS)
    numbers: dict[str, list[int]] = {}
    for number, word in enumerate(words):
        speller.create_dictionary_entry(word, 1)
        numbers.setdefault(word, []).append(number)
    size = 1 << len(speller.deletes).bit_length()
    buckets: list[list[int] | None] = [None] * size
    for form, near in speller.deletes.items():
        bucket = zlib.crc32(form.encode()) & (size - 1)
        found = buckets[bucket] = buckets[bucket] or []
        for word in near:
            found.extend(numbers[word])
    starts, postings = array("I", [0]), array("I")
    for bucket_numbers in buckets:
        postings.extend(_each_once(bucket_numbers or ()))
        starts.append(len(postings))
    return starts, postings


def _each_once(numbers: Iterable[int]) -> list[int]:
    return sorted(set(numbers))
