"""What ELS says of the largest batches that there can be."""

from collections.abc import Sequence

from huleedu.core.message import Message
from huleedu.core.messages import (
    EVENT_BYTES_MAX,
    BatchEssaysReady,
    BatchReadinessTimeout,
    ELSBatchPhaseOutcomeV1,
    EssayProcessingInputRefV1,
)
from huleedu.els.deadlines import ReadinessTimeout
from huleedu.els.phases import Conclusion
from huleedu.els.speech import batch_essays_ready, batch_readiness_timeout, phase_concluded
from tests.support.builders import AT, hear

# The contract's limits: a thousand essays, ids of 128 letters, names of 200 characters.
IDS = [f"{number:0>128}" for number in range(1_000)]


def texts(name: str) -> Sequence[EssayProcessingInputRefV1]:
    return [
        EssayProcessingInputRefV1(essay_id=essay, text_storage_id="0" * 32, student_name=name)
        for essay in IDS
    ]


LONG, SHORT = texts("𝔸" * 200), texts("Åsa Öberg")


def said(message: Message) -> object:
    assert len(message.value) <= EVENT_BYTES_MAX
    return hear(message).data


def test_a_batch_too_large_to_name_its_texts_is_ready_all_the_same() -> None:
    """Whoever needs the texts asks for them."""
    large = said(batch_essays_ready("b", LONG, None, AT))
    usual = said(batch_essays_ready("b", SHORT, None, AT))

    assert isinstance(large, BatchEssaysReady)
    assert isinstance(usual, BatchEssaysReady)
    assert (large.ready_essay_ids, large.ready_essays) == (IDS, None)
    assert (usual.ready_essay_ids, usual.ready_essays) == (IDS, SHORT)


def test_a_batch_too_large_to_name_its_texts_is_late_all_the_same() -> None:
    late = ReadinessTimeout("b", "2026-01-12T08:00:00.000000Z", 60.0, LONG[1:], IDS[:1])

    data = said(batch_readiness_timeout(late, None, AT))

    assert isinstance(data, BatchReadinessTimeout)
    assert data.ready_essays is None
    assert [*data.missing_essay_ids, *data.ready_essay_ids] == IDS
    assert (data.expected_count, data.actual_count) == (1_000, 999)


def test_an_outcome_too_large_for_names_goes_without_them() -> None:
    """The corrected texts are named in any case."""
    data = said(phase_concluded(Conclusion("b", 1, LONG, []), None, AT))

    assert isinstance(data, ELSBatchPhaseOutcomeV1)
    assert [essay.essay_id for essay in data.processed_essays] == IDS
    assert {essay.student_name for essay in data.processed_essays} == {None}
