"""A batch whose files come in many requests, some of them twice, in any order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from huleedu.files.matching import (
    Assigned,
    MisfitReason,
    Refused,
    Replaced,
    Unchanged,
    Upload,
    match_files,
)

IDS = ["e1", "E1", "e2", "e3"]
NAMES = ["e1.txt", "E1.docx", "E2.txt", "Anna.txt", "Bo.docx"]
uploads = st.builds(
    Upload,
    name=st.sampled_from(NAMES),
    storage_id=st.sampled_from("ABCDE"),
    essay_id=st.none() | st.sampled_from(["e2", "e3", "nobody"]),
)


class BatchOfFiles(RuleBasedStateMachine):
    """Keeps which essay has which text, as the outcomes of each request say."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.sent: list[list[Upload]] = []

    @initialize(registered=st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    def register(self, registered: list[str]) -> None:
        self.registered = registered

    @rule(files=st.lists(uploads, min_size=1, max_size=4))
    def files_come(self, files: list[Upload]) -> None:
        self.sent.append(files)
        self.place(files)

    @precondition(lambda self: self.sent)
    @rule()
    def the_last_request_comes_again(self) -> None:
        before = dict(self.texts)
        self.place(self.sent[-1])
        assert self.texts == before

    @precondition(lambda self: len(self.texts) == len(self.registered))
    @rule(name=st.sampled_from(["Cia.txt", "Dag.docx"]))
    def one_file_too_many(self, name: str) -> None:
        (outcome,) = match_files(self.registered, self.texts, [Upload(name, "new")])
        assert isinstance(outcome, Refused)
        assert outcome.reason is MisfitReason.NO_PLACE

    def place(self, files: list[Upload]) -> None:
        before = dict(self.texts)
        for file, outcome in zip(files, match_files(self.registered, before, files), strict=True):
            match outcome:
                case Assigned(essay_id):
                    assert essay_id not in self.texts
                    self.texts[essay_id] = file.storage_id
                case Replaced(essay_id, previous):
                    # Only a sender who names the essay may replace its text.
                    named = (file.essay_id, file.name.split(".")[0].casefold())
                    assert essay_id in named or essay_id.casefold() in named
                    assert self.texts[essay_id] == previous == before[essay_id]
                    self.texts[essay_id] = file.storage_id
                case Refused():
                    continue
        for file, outcome in zip(files, match_files(self.registered, before, files), strict=True):
            if not isinstance(outcome, Refused):
                assert self.texts[outcome.essay_id] == file.storage_id
            if isinstance(outcome, Unchanged) and file.essay_id:
                assert outcome.essay_id == file.essay_id

    @invariant()
    def no_text_is_lost_and_no_stranger_gets_one(self) -> None:
        """Free essays only become fewer; what was assigned has a text for good."""
        assert set(self.texts) <= set(self.registered)
        assert len(self.texts) >= getattr(self, "most", 0)
        self.most = len(self.texts)


BatchOfFiles.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
TestFilesOfABatch = BatchOfFiles.TestCase
