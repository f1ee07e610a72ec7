"""What a sender reads about a file that belongs to no essay, word for word."""

import pytest

from huleedu.files.matching import MisfitReason, Refused, Upload, match_files


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        (1, "e0"),
        (5, "e0, e1, e2, e3, e4"),
        (6, "e0, e1, e2, e3, e4 and 1 more"),
    ],
)
def test_up_to_five_essays_are_listed(count: int, listed: str) -> None:
    """Of more, how many there are."""
    (refused,) = match_files(
        [f"e{number}" for number in range(count)], {}, [Upload("a.txt", "A", "x")]
    )

    assert refused == Refused(
        f"“a.txt” was sent as essay “x”, which this batch does not have. Its essays are: {listed}.",
        MisfitReason.UNKNOWN_ESSAY,
    )


@pytest.mark.parametrize(
    ("essay_id", "shown"), [("x" * 128, "x" * 128), ("x" * 129, "x" * 128 + "…")]
)
def test_an_id_is_shown_in_the_length_that_ids_may_have(essay_id: str, shown: str) -> None:
    """Whatever was sent instead of one is cut."""
    (refused,) = match_files(["e"], {}, [Upload("a.txt", "A", essay_id)])

    assert isinstance(refused, Refused)
    assert f"as essay “{shown}”, which" in refused.error


def test_two_texts_for_one_essay_are_told_with_what_to_do() -> None:
    """Only the sender knows which is meant."""
    _, refused = match_files(["e"], {}, [Upload("e.txt", "A"), Upload("e.docx", "B")])

    assert refused == Refused(
        "“e.docx” and “e.txt” are different texts for the same essay, e; only “e.txt” was taken. "
        "If that is the wrong one, upload the right one by itself.",
        MisfitReason.NAMED_TWICE,
    )


@pytest.mark.parametrize(
    ("ids", "all_have_one"),
    [
        (["e"], "this batch expects 1 essay, and it has a text"),
        (["e", "f"], "this batch expects 2 essays, and all of them have a text"),
    ],
)
def test_a_file_too_many_is_told_how_to_replace_one(ids: list[str], all_have_one: str) -> None:
    """With the number that was expected."""
    (refused,) = match_files(ids, dict.fromkeys(ids, "A"), [Upload("late.txt", "B")])

    assert refused == Refused(
        f"There is no place left for “late.txt”: {all_have_one}. "
        "To replace one, upload the file with that essay's id, or name the file after it.",
        MisfitReason.NO_PLACE,
    )
