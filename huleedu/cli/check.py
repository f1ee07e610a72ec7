"""``huleedu check``: files in, corrected files out, without a server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from huleedu.cli import configuration
from huleedu.cli.checking import Checked, check_files
from huleedu.cli.corrected import Target, plan_targets, tell_written, write
from huleedu.cli.failures import WrongUse
from huleedu.cli.inputs import EssayFile, Inputs, gather, tell_left_out
from huleedu.cli.output import print_json, print_table, tell
from huleedu.cli.progress import steps
from huleedu.core.courses import load_courses
from huleedu.core.enums import Language
from huleedu.core.logging import configure_logging
from huleedu.core.settings import Settings


def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help="Essays, or folders of essays.")
    ],
    course: Annotated[
        str, typer.Option(help="Course of the essays, which tells their language: ENG5, SV1.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Write NAME.txt (corrected) and NAME.json (what was changed) here."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Read this file instead of config/huleedu.toml.")
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="Log from this level on: DEBUG, INFO, WARNING, ERROR.")
    ] = "WARNING",
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Correct the spelling of essays here and now, without a server.

    From a folder its .txt and .docx are taken.  Nothing is kept but what --out asks for.
    """
    loaded = configuration.load({"log_level": log_level, "log_format": "console"}, config)
    settings = loaded.settings
    configure_logging(settings.log_level, settings.log_format)
    language = _language_of(course, settings)
    inputs = gather(paths)
    tell_left_out(inputs.left_out)
    if len(inputs.files) > settings.limits.essays_per_batch:
        raise WrongUse(
            f"these are {len(inputs.files):,} essays; one batch may have "
            f"{settings.limits.essays_per_batch:,}. Check them in parts."
        )
    targets = plan_targets(inputs.files, out) if out is not None else None
    checked: Sequence[Checked] = ()
    if inputs.files:
        with steps() as progress:
            checked = check_files(inputs.files, settings, course, language, progress)
    written = _write(checked, targets) if targets is not None else {}
    if json_output:
        print_json(_as_json(course, language, inputs, checked, written))
    else:
        _print(inputs, checked)
    if inputs.unreadable or any(one.corrected is None for one in checked):
        raise typer.Exit(1)


def _language_of(course: str, settings: Settings) -> Language:
    courses = load_courses(settings.courses_file)
    if course not in courses:
        raise WrongUse(f"there is no course {course!r}. There are: {', '.join(sorted(courses))}.")
    return courses[course]


def _write(checked: Sequence[Checked], targets: Sequence[Target]) -> Mapping[EssayFile, Target]:
    """Write what was corrected and tell of it; return what went where."""
    written: dict[EssayFile, Target] = {}
    replaced = 0
    for one, target in zip(checked, targets, strict=True):
        if one.corrected is not None:
            replaced += write(one.corrected, target)
            written[one.file] = target
    tell_written(list(written.items()), replaced)
    return written


def _print(inputs: Inputs, checked: Sequence[Checked]) -> None:
    rows: list[Sequence[object]] = [_row(one) for one in checked]
    rows += [[path.name, None, None, None, None, why] for path, why in inputs.unreadable]
    print_table(["File", "Pupil", "Words", "Corrections", "Flagged", "Status"], rows)
    good = [one.corrected for one in checked if one.corrected is not None]
    tell(
        f"{len(good)} of {len(rows)} essays checked: "
        f"{sum(one.corrections for one in good):,} corrections, "
        f"{sum(one.flagged for one in good):,} words flagged for a look."
    )


def _row(one: Checked) -> Sequence[object]:
    text = one.corrected
    counts = (None, None, None) if text is None else (text.words, text.corrections, text.flagged)
    return [one.file.name, one.student_name, *counts, one.error or one.status_text]


def _as_json(
    course: str,
    language: Language,
    inputs: Inputs,
    checked: Sequence[Checked],
    written: Mapping[EssayFile, Target],
) -> object:
    essays = [_essay_as_json(one, written.get(one.file)) for one in checked]
    essays += [
        {"file": str(path), "status": "failed", "error": why} for path, why in inputs.unreadable
    ]
    return {
        "course": course,
        "language": language,
        "essays": essays,
        "left_out": [str(path) for path in inputs.left_out],
    }


def _essay_as_json(one: Checked, target: Target | None) -> dict[str, object]:
    told: dict[str, object] = {
        "file": str(one.file.path),
        "student_name": one.student_name,
        "status": "failed" if one.corrected is None else "corrected",
        "error": one.error,
    }
    if one.corrected is not None:
        told["words"] = one.corrected.words
        told["corrections"] = one.corrected.corrections
        told["flagged"] = one.corrected.flagged
    if target is not None:
        told["corrected_file"] = str(target.text)
        told["log_file"] = str(target.log)
    return told
