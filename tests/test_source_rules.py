"""Sizes, names, exceptions and pins: the rules hold, and each is seen to fail when broken."""

from pathlib import Path

import pytest

from tests.source_rules import dependency_faults, faults, pin_faults, python_files

ROOT = Path(__file__).parents[1]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
HASH = "sha256:" + "0" * 64


def test_every_file_keeps_the_rules() -> None:
    """No file is too long or too wide, named after nothing, or swallows every error."""
    found = [fault for file in python_files(ROOT) for fault in faults(ROOT, file)]

    assert found == []


def test_the_rules_look_at_code_and_tests() -> None:
    """Both the package and its tests are among the files that are looked at."""
    files = {file.as_posix() for file in python_files(ROOT)}

    assert {"huleedu/core/errors.py", "tests/test_source_rules.py", "hatch_build.py"} <= files
    assert not any(file.startswith(".venv") for file in files)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("long.py", "x = 1\n" * 401, "401 lines"),
        ("wide.py", "x = 1\n" + f"y = '{'x' * 96}'\n", "line 2 has 102 characters"),
        ("huleedu/tall.py", "def f():\n" + "    x = 1\n" * 51, "f has 51 lines"),
        ("tests/tall.py", "def f():\n" + "    x = 1\n" * 51, ""),
        (
            "huleedu/tall.py",
            "async def f():\n    '''Told.'''\n" + "    x = 1\n" * 51,
            "f has 51 lines",
        ),
        ("huleedu/tall.py", "def f():\n    '''Told.\n    '''\n" + "    x = 1\n" * 50, ""),
        ("wide.py", f"y = '{'x' * 90}'  # noqa: E501 - meant\n", ""),
        ("wide.py", f"y = '{'x' * 90}'  # not meant\n", "line 1 has"),
        ("utils.py", "", "the name utils"),
        ("text_helpers.py", "", "the name text_helpers"),
        ("common/x.py", "", "the name common"),
        ("BatchManager.py", "", ""),  # one word: pep8-naming's business, not ours
        ("batch_manager.py", "", "the name batch_manager"),
        ("bare.py", "try:\n    x\nexcept:\n    raise\n", "line 3: a bare except"),
        ("wide.py", "try:\n    x\nexcept Exception:\n    raise\n", "line 3: except Exception"),
        (
            "wide.py",
            "try:\n    x\nexcept (KeyError, Exception) as e:\n    raise\n",
            "line 3: except Exception",
        ),
        (
            "wide.py",
            "import builtins\ntry:\n    x\nexcept builtins.Exception:\n    raise\n",
            "line 4: except Exception",
        ),
        ("all.py", "try:\n    x\nexcept BaseException:\n    x\n", "that raises nothing"),
        ("all.py", "try:\n    x\nexcept BaseException:\n    raise\n", ""),
        ("star.py", "try:\n    x\nexcept* Exception:\n    raise\n", "line 3: except Exception"),
        ("gone.py", "with suppress(Exception):\n    x\n", "line 1: everything is suppressed"),
        ("gone.py", "with contextlib.suppress(OSError):\n    x\n", ""),
        ("huleedu/core/background.py", "try:\n    x\nexcept Exception:\n    x\n", ""),
        ("fine.py", "x = 1\n" * 400, ""),
    ],
)
def test_a_planted_file_is_found(tmp_path: Path, name: str, text: str, fault: str) -> None:
    """A file that breaks a rule is named with the rule; one that keeps all is not."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    found = faults(tmp_path, Path(name))

    assert len(found) == bool(fault)
    assert all(fault in one and one.startswith(f"{name}: ") for one in found)


def test_the_installed_package_needs_what_is_pinned() -> None:
    """requirements/runtime.in and pyproject.toml name the same packages."""
    pyproject, runtime = ROOT / "pyproject.toml", ROOT / "requirements" / "runtime.in"

    assert dependency_faults(pyproject.read_text(), runtime.read_text()) == []


def test_a_dependency_in_one_place_only_is_found() -> None:
    """What is needed but not pinned, or pinned but not needed, is named."""
    pyproject = '[project]\ndependencies = ["anyio>=4.16", "kafka[lz4]>=1,<2", "rich"]\n'

    assert dependency_faults(pyproject, "# why\nanyio\nkafka\ntyper # x\n") == [
        "only in pyproject.toml: rich",
        "only in runtime.in: typer",
    ]


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_requirement_is_pinned_with_its_hashes(file: Path) -> None:
    """An installation gets the same bytes everywhere, from whichever registry the machine uses."""
    text = file.read_text()

    assert text.count("==") > 1
    assert pin_faults(text) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"anyio==4.16.0 --hash={HASH}", None),
        (f"anyio==4.16.0 ; python_version < '4' \\\n    --hash={HASH} \\\n    --hash={HASH}", None),
        ("# a comment", None),
        (f"anyio>=4 --hash={HASH}", "not one pinned version"),
        (f"anyio --hash={HASH}", "not one pinned version"),
        ("anyio==4.16.0", "without its hashes"),
        ("anyio==4.16.0 --hash=md5:0", "without its hashes"),
        (f"anyio @ https://example.org/a.whl --hash={HASH}", "names a host"),
        ("--index-url https://example.org/simple", "names a host"),
        ("--extra-index-url=https://example.org", "names a host"),
        ("-r other.txt", "not one pinned version"),
        ("-e .", "not one pinned version"),
    ],
)
def test_a_planted_requirement_is_found(line: str, fault: str | None) -> None:
    """A line that is not pinned, has no hash, or says where packages come from, is named."""
    found = pin_faults(f"rich==15.0 --hash={HASH}\n{line}\n")

    assert bool(found) is (fault is not None)
    assert fault is None or any(fault in one for one in found)
