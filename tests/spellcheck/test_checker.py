"""What one check promises about a text, whatever is in it."""

import unicodedata
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huleedu.core.enums import Language
from huleedu.spellcheck.checker import CORRECTIONS_MAX, LOOKUPS_MAX, Checker
from huleedu.spellcheck.log import ENGINE, processing_log
from huleedu.spellcheck.model import CheckedText, Kind, apply
from tests.spellcheck.conftest import DATA
from tests.spellcheck.measure import misspellings

BETWEEN = [
    "\r\n",
    "\n",
    "\r",
    "\t",
    "  ",
    "\u00a0",
    ", ",
    ". ",
    "\0",
    "\ufeff",
    "😀",
    "–",
    "/",
    "'",
]
PIECES = [
    *("Teh", "TEH", "definately", "don’t", "dont", "goverment's", "kansje", "Kansje", "också"),
    *("wo\u00adrd", "😀ecstacy", "www.definately.com", "teh@recieve.com", "#teh", "é", "a\u0308"),
    *("\ud800", "well-knwon", "ﬁnaly", "İ", "ß", "TĖH", "x" * 70, "Zbigniew", "1990s", "EU:s"),
    unicodedata.normalize("NFD", "väldigt försoker ocksa mojlighet"),
]
texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*PIECES, *BETWEEN]) | st.text(max_size=4)).map("".join),
    st.lists(st.sampled_from(PIECES)).map(" ".join),
)
languages = st.sampled_from(Language)


@settings(max_examples=300, deadline=None)
@given(text=texts, language=languages)
def test_any_text_is_checked_and_nothing_but_wrong_words_changes(
    checkers: Mapping[Language, Checker], text: str, language: Language
) -> None:
    """Each correction names its place in the original; putting them in gives the corrected text."""
    checked = checkers[language].check(text)

    reached, shift = 0, 0
    for each in checked.corrections:
        end = each.offset + each.length
        assert reached <= each.offset < end <= len(text)
        assert text[each.offset : end] == each.original
        assert (
            text[reached : each.offset]
            == (checked.corrected[reached + shift : each.offset + shift])
        )
        assert each.correction in {None, *each.alternatives[:1]}
        assert each.correction != each.original
        assert 0 <= each.confidence <= 1
        assert (each.kind is Kind.UNKNOWN_WORD) == (not each.alternatives)
        shift += 0 if each.correction is None else len(each.correction) - each.length
        reached = end
    assert text[reached:] == checked.corrected[reached + shift :]
    assert checked.corrected == apply(text, checked.corrections)


@settings(max_examples=50, deadline=None)
@given(text=texts, language=languages)
def test_the_same_text_is_always_checked_the_same(
    checkers: Mapping[Language, Checker], text: str, language: Language
) -> None:
    """Neither repetition nor what was checked before changes an answer."""
    first = checkers[language].check(text)
    checkers[language].check("teh " + text + " kansje definately")

    assert first == checkers[language].check(text)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), language=languages)
def test_corrections_are_not_corrected_again(
    checkers: Mapping[Language, Checker], data: st.DataObject, language: Language
) -> None:
    """A corrected text, checked again, stays as it is."""
    pairs = misspellings(DATA / f"{language.value}_typos.tsv")
    words = st.sampled_from([written for written, _ in pairs])
    once = checkers[language].check(" ".join(data.draw(st.lists(words, max_size=8))))

    assert once.corrected == checkers[language].check(once.corrected).corrected


@pytest.mark.parametrize(
    ("written", "corrected"),
    [
        ("I saw teh cat.", "I saw the cat."),
        ("Teh cat.", "The cat."),
        ("TEH END", "THE END"),
        ("a definately good one", "a definitely good one"),
        ("Definately good.", "Definitely good."),
        ("DEFINATELY GOOD", "DEFINITELY GOOD"),
        ("I dont know", "I don't know"),
        ("I don’t know, it wasnt me", "I don’t know, it wasn’t me"),
        ("the goverment's plan", "the government's plan"),
        ("we speak english on monday", "we speak English on Monday"),
        ("and i'm glad", "and I'm glad"),
        ("it was in febuary", "it was in February"),
        ("a wonderfull-looking house", "a wonderful-looking house"),
        ("\ufeffthe\0goverment\r\n\tof  it", "\ufeffthe\0government\r\n\tof  it"),
        ("it has a calender", "it has a calendar"),
        ("for wo\u00adnderfull days", "for wonderful days"),
    ],
)
def test_english_is_corrected_as_it_is_written(
    english: Checker, written: str, corrected: str
) -> None:
    """Capitals, apostrophes, hyphens and everything between the words stay as they were."""
    assert corrected == english.check(written).corrected


@pytest.mark.parametrize(
    "text",
    [
        "See https://teh.definately.com/recieve?goverment=1 and www.freind.org/beleive now.",
        "Write to definately.recieve@goverment.com or see essay_definately.docx, freind.html",
        "#definately and @recieve and snake_definately and x/definately/recieve",
        "the 1990s, 2nd, 5km, B2B, 10:30, 3.14, e.g. this, i.e. that, U.S. and a.m. too",
        "Zbigniew and Oluwaseun met Ms. Venkataraman of Ystadd. Oluwaseun left.",
        "We met NATO, UNHCR, McDonnald, iPhonne and YouTubbe",
        "colour and color, realise and realize, café and naïve",
        "Привет мир, 你好, שלום",
        "",
    ],
)
def test_what_is_no_english_word_is_left_alone(english: Checker, text: str) -> None:
    """Addresses, names, numbers, tags and other scripts are neither changed nor flagged."""
    assert CheckedText(corrected=text, corrections=()) == english.check(text)


@pytest.mark.parametrize(
    ("written", "corrected"),
    [
        ("Det var veldigt roligt.", "Det var väldigt roligt."),
        ("Kansje kommer hon.", "Kanske kommer hon."),
        ("VELDIGT ROLIGT", "VÄLDIGT ROLIGT"),
        ("vi bor i sverige", "vi bor i Sverige"),
        ("av noel bergkvist", "av Noel bergkvist"),
        ("klimatförendringarna är här", "klimatförändringarna är här"),
        ("Enligt EU:s pdf:er, t.ex. bl.a. små- och medelstora",) * 2,
        ("skärmtidsregler och mobilförbudsdebatten",) * 2,
    ],
)
def test_swedish_is_corrected_as_it_is_written(
    swedish: Checker, written: str, corrected: str
) -> None:
    """Compounds that no list holds are right; å, ä and ö are put where they belong."""
    assert corrected == swedish.check(written).corrected


def test_decomposed_letters_are_read_and_kept(swedish: Checker) -> None:
    """Offsets count the code points of the original; a correction is written as the word was."""
    text = unicodedata.normalize("NFD", "😀 Det är också väldigt försvårt, mänskor är alltså såhär")
    right = unicodedata.normalize("NFD", "alltså är människor")
    written = unicodedata.normalize("NFD", "altså är männsikor")
    checked = swedish.check(text)

    assert text == checked.corrected
    assert right == swedish.check(written).corrected


def test_what_is_not_sure_is_flagged_with_alternatives(english: Checker) -> None:
    """A word with two likely meanings stays; its entry holds both."""
    checked = english.check("He was woried by the fourty hobbits of flurbergastan.")
    by_word = {each.original: each for each in checked.corrections}

    assert "fourty hobbits of flurbergastan." in checked.corrected
    assert by_word["fourty"].correction is None
    assert {"forty", "fourth"} <= set(by_word["fourty"].alternatives)
    assert Kind.UNKNOWN_WORD is by_word["flurbergastan"].kind


def test_a_name_of_the_text_is_no_misspelling_where_a_sentence_begins(english: Checker) -> None:
    """What is capitalised within a sentence is a name at the start of another."""
    alone = "Goverment is hard."
    named = "We met Goverment today. Goverment is hard."

    assert english.check(alone).corrected == "Government is hard."
    assert named == english.check(named).corrected


@pytest.mark.parametrize("word", ["a" * 100_000, "ab-" * 40_000, "å" * 65, "a\u0308" * 50_000])
def test_an_endless_word_is_no_word(english: Checker, word: str) -> None:
    """It is left as it is, and what stands beside it is checked."""
    checked = english.check(f"{word} definately {word}")

    assert f"{word} definitely {word}" == checked.corrected


def test_a_text_of_noise_is_checked_with_bounded_work(english: Checker) -> None:
    """After so many different unknown words, the rest are flagged without a search."""
    noise = [
        f"zq{chr(97 + n // 676)}{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}g" for n in range(3000)
    ]
    checked = english.check(" ".join(noise) + " definately")

    assert len(noise) + 1 == len(checked.corrections)
    assert Kind.UNKNOWN_WORD is checked.corrections[-1].kind
    assert len(noise) > LOOKUPS_MAX


def test_a_text_has_so_many_entries_at_most(english: Checker) -> None:
    """The log of a megabyte of noise stays small enough to be stored."""
    checked = english.check("definately " * (CORRECTIONS_MAX + 1))

    assert len(checked.corrections) == CORRECTIONS_MAX
    assert checked.corrected == "definitely " * CORRECTIONS_MAX + "definately "


def test_the_log_says_what_was_done(english: Checker) -> None:
    """The processing log is the contract's JSON."""
    checked = english.check("😀 teh fourty\r\nflurbergastan")
    log = msgspec.json.decode(processing_log("essay 1", Language.ENGLISH, checked))

    assert log.keys() == {"essay_id", "language", "engine", "corrections"}
    assert (log["essay_id"], log["language"], log["engine"]) == ("essay 1", "en", ENGINE)
    fields = {"offset", "length", "original", "correction", "alternatives", "confidence", "kind"}
    assert all(fields == each.keys() for each in log["corrections"])
    places = [(each["offset"], each["length"], each["original"]) for each in log["corrections"]]
    done = [(each["correction"], each["kind"]) for each in log["corrections"]]
    assert places == [(2, 3, "teh"), (6, 6, "fourty"), (14, 13, "flurbergastan")]
    assert done == [("the", "misspelling"), (None, "misspelling"), (None, "unknown_word")]
    assert checked.corrections_made == 1
