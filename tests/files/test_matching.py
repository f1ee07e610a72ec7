"""Which file is whose essay."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.files.matching import (
    Assigned,
    MisfitReason,
    Outcome,
    Refused,
    Replaced,
    Unchanged,
    Upload,
    match_files,
)

IDS = ("essay-1", "essay-2", "essay-3")


def after(
    taken: dict[str, str], uploads: Sequence[Upload], outcomes: Sequence[Outcome]
) -> dict[str, str]:
    """Return which essay has which text once the outcomes are applied."""
    texts = dict(taken)
    for upload, outcome in zip(uploads, outcomes, strict=True):
        if isinstance(outcome, Assigned | Replaced):
            texts[outcome.essay_id] = upload.storage_id
    return texts


def only(outcomes: tuple[Outcome, ...]) -> Outcome:
    (outcome,) = outcomes
    return outcome


def test_files_without_a_hint_take_free_essays_in_the_order_of_registration() -> None:
    """The first file takes the first free essay, and so on."""
    uploads = [Upload("a.txt", "A"), Upload("b.txt", "B")]

    assert match_files(IDS, {"essay-1": "Z"}, uploads) == (Assigned("essay-2"), Assigned("essay-3"))


def test_an_explicit_id_decides() -> None:
    """What was said beside the file counts for more than its name."""
    upload = Upload("essay-1.txt", "A", "essay-3")

    assert only(match_files(IDS, {}, [upload])) == Assigned("essay-3")


@pytest.mark.parametrize("name", ["essay-2.txt", "folder/essay-2.docx", "ESSAY-2.TXT"])
def test_a_file_named_after_an_essay_belongs_to_it(name: str) -> None:
    """The stem names the essay, in whatever folder, of whatever kind and case."""
    assert only(match_files(IDS, {}, [Upload(name, "A")])) == Assigned("essay-2")


def test_an_exact_stem_goes_before_one_in_other_case() -> None:
    """Ids that differ in case only are told apart, and an ambiguous stem names none."""
    ids = ("zero", "E1", "e1")

    assert only(match_files(ids, {}, [Upload("e1.txt", "A")])) == Assigned("e1")
    assert only(match_files(("zero", "Ab", "aB"), {}, [Upload("AB.txt", "A")])) == Assigned("zero")


def test_named_files_are_placed_before_the_others() -> None:
    """A file without a hint does not take the essay that a later one names."""
    uploads = [Upload("any.txt", "A"), Upload("essay-1.txt", "B"), Upload("c.txt", "C", "essay-2")]

    assert match_files(IDS, {}, uploads) == (
        Assigned("essay-3"),
        Assigned("essay-1"),
        Assigned("essay-2"),
    )


@pytest.mark.parametrize("upload", [Upload("x.txt", "N", "essay-1"), Upload("essay-1.txt", "N")])
def test_another_text_for_a_named_essay_replaces_the_old_one(upload: Upload) -> None:
    """A corrected file takes the place of the first one."""
    assert only(match_files(IDS, {"essay-1": "O"}, [upload])) == Replaced("essay-1", "O")


@pytest.mark.parametrize(
    "upload",
    [Upload("x.txt", "A", "essay-2"), Upload("essay-2.txt", "A"), Upload("other name.txt", "A")],
)
def test_the_same_text_again_changes_nothing(upload: Upload) -> None:
    """A repeat is answered with the essay that has the text, whatever the file is called."""
    assert only(match_files(IDS, {"essay-2": "A"}, [upload])) == Unchanged("essay-2")


def test_a_repeat_of_what_two_essays_have_is_answered_with_the_first() -> None:
    """First in the order of registration, however the texts came."""
    taken = {"essay-3": "A", "essay-2": "A"}

    assert only(match_files(IDS, taken, [Upload("x.txt", "A")])) == Unchanged("essay-2")


def test_a_repeat_is_no_matter_of_free_essays() -> None:
    """Sending a full batch's files again is fine."""
    assert only(match_files(("e",), {"e": "A"}, [Upload("x.txt", "A")])) == Unchanged("e")


def test_the_same_text_twice_without_a_hint_is_one_essay() -> None:
    """Twice the same file is a slip of the hand, not two essays."""
    uploads = [Upload("a.txt", "A"), Upload("a (1).txt", "A")]

    assert match_files(IDS, {}, uploads) == (Assigned("essay-1"), Unchanged("essay-1"))


@pytest.mark.parametrize("upload", [Upload("x.txt", "A", "essay-2"), Upload("essay-2.txt", "A")])
def test_two_students_may_hand_in_the_same_words(upload: Upload) -> None:
    """A named essay gets its text even if another one has the same."""
    assert only(match_files(IDS, {"essay-1": "A"}, [upload])) == Assigned("essay-2")


def test_of_two_texts_for_one_essay_the_first_is_taken_and_the_other_told() -> None:
    """Neither is lost silently: the sender learns which file was left out, and why."""
    uploads = [Upload("essay-1.txt", "A"), Upload("essay-1.docx", "B")]

    first, second = match_files(IDS, {}, uploads)

    assert first == Assigned("essay-1")
    assert isinstance(second, Refused)
    assert "“essay-1.docx” and “essay-1.txt” are different texts" in second.error
    assert "only “essay-1.txt” was taken" in second.error


def test_an_explicit_id_goes_before_a_stem_of_the_same_request() -> None:
    """What was said beside a file is surer than what a file is called."""
    uploads = [Upload("essay-1.txt", "A"), Upload("b.txt", "B", "essay-1")]

    stem, explicit = match_files(IDS, {}, uploads)

    assert isinstance(stem, Refused)
    assert explicit == Assigned("essay-1")


def test_the_same_text_twice_for_one_essay_is_no_conflict() -> None:
    """The same essay as .txt and as .docx, with the same words, is handed in once."""
    uploads = [Upload("essay-1.txt", "A"), Upload("essay-1.docx", "A")]

    assert match_files(IDS, {}, uploads) == (Assigned("essay-1"), Unchanged("essay-1"))


def test_an_unknown_essay_is_named_with_those_that_exist() -> None:
    """A mistyped id tells what could have been meant, but not a thousand ids."""
    few = only(match_files(IDS, {}, [Upload("a.txt", "A", "esay-1")]))
    many = only(match_files([f"e{n}" for n in range(1000)], {}, [Upload("a.txt", "A", "x\r\ny")]))

    assert few == Refused(
        "“a.txt” was sent as essay “esay-1”, which this batch does not have. "
        "Its essays are: essay-1, essay-2, essay-3.",
        MisfitReason.UNKNOWN_ESSAY,
    )
    assert isinstance(many, Refused)
    assert "“x��y”" in many.error
    assert many.error.endswith("e0, e1, e2, e3, e4 and 995 more.")


def test_a_file_too_many_is_told_how_many_were_expected() -> None:
    """A thirtieth-first file says that thirty were expected, and how to replace one."""
    taken = dict.fromkeys(IDS, "A")

    outcome = only(match_files(IDS, taken, [Upload("late.txt", "B")]))

    assert isinstance(outcome, Refused)
    assert "“late.txt”: this batch expects 3 essays" in outcome.error
    assert "name the file after it" in outcome.error


essay_ids = st.lists(
    st.sampled_from(["e1", "E1", "e2", "e3", "b.4", "x y"]), min_size=1, unique=True
)
storage_ids = st.sampled_from("ABCDE")
upload_lists = st.lists(
    st.builds(
        Upload,
        name=st.sampled_from(["e1.txt", "E1.docx", "E2.txt", "b.4.txt", "Anna.txt", "Bo.docx"]),
        storage_id=storage_ids,
        essay_id=st.none() | st.sampled_from(["e1", "e2", "x y", "nobody", ""]),
    ),
    max_size=8,
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[str], dict[str, str]]:
    registered = draw(essay_ids)
    return registered, draw(st.dictionaries(st.sampled_from(registered), storage_ids))


@given(batches(), upload_lists)
def test_an_essay_never_gets_two_files_nor_a_stranger_one(
    batch: tuple[list[str], dict[str, str]], uploads: list[Upload]
) -> None:
    """Within a request each essay changes at most once, and only registered ones do."""
    registered, taken = batch

    outcomes = match_files(registered, taken, uploads)

    changed = [one.essay_id for one in outcomes if isinstance(one, Assigned | Replaced)]
    assert len(changed) == len(set(changed))
    assert set(changed) <= set(registered)
    texts = after(taken, uploads, outcomes)
    assert len(texts) <= len(registered)
    for upload, outcome in zip(uploads, outcomes, strict=True):
        match outcome:
            case Assigned(essay_id):
                assert essay_id not in taken
            case Replaced(essay_id, previous):
                assert taken[essay_id] == previous != upload.storage_id
            case Unchanged(essay_id):
                assert texts[essay_id] == upload.storage_id
            case Refused(error):
                assert upload.name in error
        if upload.essay_id and not isinstance(outcome, Refused):
            assert outcome.essay_id == upload.essay_id


@given(batches(), upload_lists)
def test_the_same_request_again_changes_nothing(
    batch: tuple[list[str], dict[str, str]], uploads: list[Upload]
) -> None:
    """A client that is not sure whether its request arrived may send it again."""
    registered, taken = batch
    first = match_files(registered, taken, uploads)

    again = match_files(registered, after(taken, uploads, first), uploads)

    assert not any(isinstance(outcome, Assigned | Replaced) for outcome in again)
    for before, now in zip(first, again, strict=True):
        assert isinstance(before, Refused) == isinstance(now, Refused)
        if not isinstance(before, Refused) and not isinstance(now, Refused):
            assert now.essay_id == before.essay_id


@given(
    st.lists(st.sampled_from(IDS), unique=True),
    st.lists(storage_ids, min_size=3, max_size=3),
    st.dictionaries(st.sampled_from(IDS), storage_ids),
    st.data(),
)
def test_the_order_of_files_with_ids_does_not_matter(
    ids: list[str], texts: list[str], taken: dict[str, str], data: st.DataObject
) -> None:
    """Each file with an id of its own has the same outcome wherever it stands in the request."""
    uploads = [Upload(f"{n}.txt", texts[n], essay_id) for n, essay_id in enumerate(ids)]
    shuffled = data.draw(st.permutations(uploads))

    expected = dict(zip(uploads, match_files(IDS, taken, uploads), strict=True))

    assert dict(zip(shuffled, match_files(IDS, taken, shuffled), strict=True)) == expected
