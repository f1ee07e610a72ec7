"""The data directory: who may hold it, and the secret in it."""

import threading
from pathlib import Path

import pytest

from huleedu.core.errors import Misconfigured, StoreUnavailable
from huleedu.store.directory import locked, numbered, role_secret


def test_a_whole_program_holds_it_alone(tmp_path: Path) -> None:
    """Neither another whole program nor a role works on its stores meanwhile; later they may."""
    with locked(tmp_path / "data"):
        for shared in (False, True):
            with (
                pytest.raises(Misconfigured, match="in use by another huleedu"),
                locked(tmp_path / "data", shared=shared),
            ):
                pass
    with locked(tmp_path / "data", shared=True):
        pass


def test_roles_hold_it_together(tmp_path: Path) -> None:
    """And keep a whole program out until the last of them is gone."""
    with locked(tmp_path, shared=True):
        with locked(tmp_path, shared=True):
            pass
        with (
            pytest.raises(Misconfigured, match=r"in use by another huleedu \(roles\)"),
            locked(tmp_path),
        ):
            pass


def test_roles_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    """Whoever comes first makes it; nothing of the others' attempts stays."""
    seen: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        seen.append(role_secret(tmp_path / "data"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert len(seen[0]) >= 40
    (kept,) = (tmp_path / "data").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_cannot_be_kept_may_be_kept_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="role secret"):
        role_secret(tmp_path / "file" / "below")


def test_replicas_have_numbers_and_get_them_back(tmp_path: Path) -> None:
    """The lowest free one; who comes again takes the place that became free."""
    first = numbered(tmp_path, "els-worker")
    second = numbered(tmp_path, "els-worker")

    assert (first.__enter__(), second.__enter__()) == (0, 1)
    with numbered(tmp_path, "els-worker") as third, numbered(tmp_path, "bos-worker") as other:
        assert (third, other) == (2, 0)
    first.__exit__(None, None, None)
    with numbered(tmp_path, "els-worker") as again:
        assert again == 0
    second.__exit__(None, None, None)
