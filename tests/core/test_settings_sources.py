"""Where a setting comes from, and what an operator reads when it is wrong."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huleedu.core.errors import Misconfigured
from huleedu.core.settings import Settings
from huleedu.core.settings_keys import KEYS, MODULE_PREFIXES
from huleedu.core.settings_sources import LoadedSettings, load_settings, shown

SHIPPED = Path(__file__).parents[2] / "config" / "huleedu.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file lies in the working directory unless a test puts one there."""
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("some.toml")
    path.write_text(text, encoding="utf-8")
    return path


def value_and_origin(loaded: LoadedSettings, dotted: str) -> tuple[object, str]:
    found: object = loaded.settings
    for part in dotted.split("."):
        found = getattr(found, part)
    return found, loaded.origins[dotted]


def faults_of(environment: Mapping[str, str], file: str = "", **command_line: object) -> list[str]:
    with pytest.raises(Misconfigured) as raised:
        load_settings(command_line, environment, written(file) if file else None)
    return str(raised.value).split("\n")


# --- the order of the sources ---


def test_nothing_given_means_the_defaults() -> None:
    """Without any source every setting is its default, and what modules inherit is filled in."""
    loaded = load_settings({}, {}, None)

    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.port == 5000
    assert loaded.settings.els.http_port == 6000
    assert loaded.settings.els.http_host == loaded.settings.host
    assert loaded.settings.els.log_level == "INFO"
    assert loaded.settings.limits == Settings().limits


# Strongest first, as the contract has it: command line, prefixed, plain, file, default.
LOG_LEVELS: list[tuple[str, str, str]] = [
    ("command line", "CRITICAL", "command line --log-level"),
    ("ESSAY_LIFECYCLE_SERVICE_LOG_LEVEL", "ERROR", "environment ESSAY_LIFECYCLE_SERVICE_LOG_LEVEL"),
    ("HULEEDU_LOG_LEVEL", "WARNING", "environment HULEEDU_LOG_LEVEL"),
    ("LOG_LEVEL", "DEBUG", "environment LOG_LEVEL"),
    ("[els]", "ERROR", "file some.toml"),
    ("file", "WARNING", "file some.toml"),
]


@given(st.sets(st.sampled_from(range(len(LOG_LEVELS)))))
def test_the_stronger_source_wins(present: set[int]) -> None:
    """Whichever sources have a value, the strongest of them decides and is named."""
    given_by = {LOG_LEVELS[index][0]: LOG_LEVELS[index][1] for index in present}
    file = f'log_level = "{given_by["file"]}"\n' if "file" in given_by else ""
    file += f'[els]\nlog_level = "{given_by["[els]"]}"\n' if "[els]" in given_by else ""
    environment = {name: text for name, text in given_by.items() if name.endswith("_LEVEL")}

    loaded = load_settings(
        {"log_level": given_by.get("command line")},
        environment,
        written(file) if file else None,
    )

    strongest = LOG_LEVELS[min(present)][1:] if present else ("INFO", "default")
    assert value_and_origin(loaded, "els.log_level") == strongest


@pytest.mark.parametrize("module", sorted(MODULE_PREFIXES))
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("ENVIRONMENT", "production", "production"),
        ("HTTP_HOST", "0.0.0.0", "0.0.0.0"),
        ("HTTP_PORT", "7777", 7777),
        ("PROMETHEUS_PORT", "9090", 9090),
        ("CONSUMER_GROUP", "some-group", "some-group"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092", "kafka:9092"),
        ("CONTENT_SERVICE_URL", "http://content:8000", "http://content:8000"),
        ("ESSAY_LIFECYCLE_SERVICE_URL", "http://els:6000", "http://els:6000"),
        ("DATABASE_PATH", "/srv/some.db", Path("/srv/some.db")),
    ],
)
def test_every_module_hears_its_names_of_the_contract(
    module: str, name: str, text: str, value: object
) -> None:
    """A prefixed variable sets its own module, and no other."""
    variable = MODULE_PREFIXES[module] + name
    loaded = load_settings({}, {variable: text}, None)

    dotted = f"{module}.{name.lower()}"
    assert value_and_origin(loaded, dotted) == (value, f"environment {variable}")
    changed = {key for key, origin in loaded.origins.items() if origin != "default"}
    assert changed == {dotted}


@pytest.mark.parametrize(
    ("variable", "text", "name"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092", "kafka_bootstrap_servers"),
        ("CONTENT_SERVICE_URL", "http://content:8000", "content_service_url"),
        ("ESSAY_LIFECYCLE_SERVICE_URL", "http://els:6000", "essay_lifecycle_service_url"),
        ("LOG_LEVEL", "ERROR", "log_level"),
        ("ENV_TYPE", "production", "environment"),
    ],
)
def test_the_plain_names_reach_every_module(variable: str, text: str, name: str) -> None:
    """An unprefixed variable is the fallback of the process and of all its modules."""
    loaded = load_settings({}, {variable: text}, None)

    for dotted in (name, *(f"{module}.{name}" for module in MODULE_PREFIXES)):
        assert value_and_origin(loaded, dotted) == (text, f"environment {variable}")


def test_the_port_of_bos_has_two_names() -> None:
    """BOS hears PORT too, and HTTP_PORT before it."""
    prefix = MODULE_PREFIXES["bos"]
    one = load_settings({}, {prefix + "PORT": "1"}, None)
    both = load_settings({}, {prefix + "PORT": "1", prefix + "HTTP_PORT": "2"}, None)

    assert value_and_origin(one, "bos.http_port") == (1, f"environment {prefix}PORT")
    assert value_and_origin(both, "bos.http_port") == (2, f"environment {prefix}HTTP_PORT")


def test_the_port_on_the_command_line_is_the_processs() -> None:
    """--port and --host go before every module's own; a port in the file does not spread."""
    file = written("port = 9000\n")
    environment = {"ESSAY_LIFECYCLE_SERVICE_HTTP_PORT": "6001"}
    told = load_settings({"port": 8080, "host": "0.0.0.0"}, environment, file)
    untold = load_settings({"port": None}, environment, file)

    assert value_and_origin(told, "els.http_port") == (8080, "command line --port")
    assert value_and_origin(told, "els.http_host") == ("0.0.0.0", "command line --host")
    assert untold.settings.port == 9000
    assert untold.settings.els.http_port == 6001
    assert untold.settings.files.http_port == 7001


def test_a_plain_database_path_is_for_a_process_of_one_module() -> None:
    """Modules never share a file: several modules ignore DATABASE_PATH, and say so."""
    environment = {"DATABASE_PATH": "/srv/els.db"}
    one = load_settings({}, environment, None, modules=["els"])
    several = load_settings({}, environment, None, modules=["els", "bos"])

    assert value_and_origin(one, "els.database_path") == (
        Path("/srv/els.db"),
        "environment DATABASE_PATH",
    )
    assert one.settings.bos.database_path is None
    assert one.notes == ()
    assert several.settings.els.database_path is None
    assert ["DATABASE_PATH" in note for note in several.notes] == [True]


def test_the_programs_own_names_reach_every_other_key() -> None:
    """HULEEDU_ and the key sets what belongs to no module; sections are joined by underscores."""
    loaded = load_settings(
        {},
        {
            "HULEEDU_TRANSPORT": "kafka",
            "HULEEDU_DATA_DIR": "/srv/huleedu",
            "HULEEDU_STOP_SECONDS": "2.5",
            "HULEEDU_LIMITS_FILE_BYTES": "5",
            "ESSAY_LIFECYCLE_SERVICE_LOG_STUDENT_DETAILS": "true",
            "SPELL_CHECKER_SERVICE_PROCESSES": "3",
        },
        None,
    )

    settings = loaded.settings
    assert settings.transport == "kafka"
    assert settings.data_dir == Path("/srv/huleedu")
    assert settings.stop_seconds == 2.5
    assert settings.limits.file_bytes == 5
    assert settings.els.log_student_details is True
    assert settings.spellcheck.processes == 3


def test_an_empty_variable_is_unset() -> None:
    """What compose passes on as empty changes nothing."""
    loaded = load_settings({}, {"LOG_LEVEL": "", "HULEEDU_PORT": ""}, None)

    assert set(loaded.origins.values()) == {"default"}


def test_the_file_in_the_working_directory_is_found() -> None:
    """config/huleedu.toml is read when no other file is named."""
    Path("config").mkdir()
    Path("config/huleedu.toml").write_text("port = 1\n", encoding="utf-8")

    found = load_settings({}, {}, None)
    named = load_settings({}, {}, written("[limits]\npage_size = 2\n"))

    assert value_and_origin(found, "port") == (1, "file config/huleedu.toml")
    assert value_and_origin(named, "port") == (5000, "default")


# --- what is wrong ---


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("HULEEDU_PORT", "x", "HULEEDU_PORT: port = 'x'"),
        ("HULEEDU_PORT", "65536", "a whole number, at least 0 and at most 65_535"),
        ("HULEEDU_LIMITS_PAGE_SIZE", "0", "a whole number, at least 1"),
        ("HULEEDU_STOP_SECONDS", "0", "a number, over 0"),
        ("HULEEDU_STOP_SECONDS", "nan", "a number, over 0"),
        ("HULEEDU_STOP_SECONDS", "inf", "a number, over 0"),
        ("HULEEDU_TRANSPORT", "rabbit", "one of auto, kafka, memory"),
        ("LOG_LEVEL", "loud", "log_level = 'loud'"),
        ("ESSAY_LIFECYCLE_SERVICE_LOG_STUDENT_DETAILS", "perhaps", "true or false"),
    ],
)
def test_a_value_that_is_not_allowed_is_told(variable: str, text: str, says: str) -> None:
    """The operator reads where it came from, key, value and what is allowed, once."""
    told = faults_of({variable: text})

    assert told[0].startswith(f"environment {variable}: ")
    assert says in told[0]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ('port = "5000"', "file some.toml: port = '5000'"),
        ("port = true", "file some.toml: port = True"),
        ("data_dir = 5", "file some.toml: data_dir = 5"),
        ("[limits]\npage_size = 1.5", "file some.toml: limits.page_size = 1.5"),
        ("prot = 5000", "file some.toml: prot is no setting; is port meant?"),
        ("[limits]\npagesize = 5", "limits.pagesize is no setting; is limits.page_size meant?"),
        ("[bus]\nport = 5", "file some.toml: bus.port is no setting"),
        ("limits = 5", "file some.toml: limits must be a table, [limits]"),
        ("port = ", "is not TOML"),
        ("port = 1\nport = 2", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told(file: str, says: str) -> None:
    """Types in the file are exact, and a key that means nothing stops the program."""
    assert says in "\n".join(faults_of({}, file))


def test_an_unknown_name_of_ours_is_told() -> None:
    """A misspelt HULEEDU_ variable is refused; foreign variables are not ours to judge."""
    told = faults_of(
        {
            "HULEEDU_PROT": "1",
            "HULEEDU_SERVER": "http://server",  # the commands' own
            "HULEEDU_CACHE_DIR": "/var/cache",  # the spelling index's
            "PATH": "/bin",
            "CONTENT_SERVICE_COLOUR": "red",
        }
    )

    assert told == ["environment HULEEDU_PROT: is no setting; is HULEEDU_PORT meant?"]


def test_every_fault_is_told_at_once() -> None:
    """Faults of all sources come together, even where a stronger value hides them."""
    told = "\n".join(
        faults_of(
            {"HULEEDU_PORT": "x", "HULEEDU_NONSENSE_OF_MINE": "1"},
            "stop_seconds = -1\ncolour = 1\n[bos]\nhttp_port = -5\n",
            port=8080,
            host="localhost",
        )
    )

    for part in ("HULEEDU_PORT", "HULEEDU_NONSENSE", "stop_seconds", "colour", "bos.http_port"):
        assert part in told


def test_a_missing_file_is_told() -> None:
    """A file that was named must be there."""
    with pytest.raises(Misconfigured, match=r"nowhere\.toml: No such file"):
        load_settings({}, {}, Path("nowhere.toml"))


def test_a_wrong_secret_is_not_shown() -> None:
    """Not even a fault shows what may be a secret."""
    told = faults_of({}, "role_secret = 12345678")

    assert "12345678" not in "\n".join(told)
    assert "role_secret = ***" in told[0]


# --- what is shown ---


def test_what_is_shown_masks_secrets_and_can_be_json() -> None:
    """Every key is listed once with its origin; secrets and passwords are stars."""
    loaded = load_settings(
        {},
        {
            "HULEEDU_ROLE_SECRET": "hush-hush",
            "CONTENT_SERVICE_URL": "http://anna:hush-hush@content:8000/x",
        },
        None,
    )
    lines = shown(loaded)

    assert [key for key, _, _ in lines] == list(KEYS)
    values = {key: (value, origin) for key, value, origin in lines}
    assert values["role_secret"] == ("***", "environment HULEEDU_ROLE_SECRET")
    assert values["content_service_url"][0] == "http://anna:***@content:8000/x"
    assert values["data_dir"] == ("data", "default")
    assert b"hush" not in msgspec.json.encode(lines)
    assert loaded.settings.role_secret == "hush-hush"


# --- the file that comes with the program ---


def test_the_shipped_file_says_the_defaults() -> None:
    """config/huleedu.toml changes nothing: each of its values is the default."""
    assert load_settings({}, {}, SHIPPED).settings == load_settings({}, {}, None).settings


def test_the_shipped_file_has_every_key() -> None:
    """Keys without a default stand there too, commented out, with a value that is allowed."""
    plain = SHIPPED.read_text(encoding="utf-8")
    uncommented = re.sub(r"^# ([a-z_]+ = \S+)$", r"\1", plain, flags=re.MULTILINE)
    there = {key for key in KEYS if _is_in(tomllib.loads(plain), key)}
    loaded = load_settings({}, {}, written(uncommented))

    assert set(loaded.origins.values()) == {"file some.toml"}
    assert {key for key, setting in KEYS.items() if setting.default is not None} == there


def _is_in(tables: Mapping[str, object], dotted: str) -> bool:
    section, _, name = dotted.rpartition(".")
    table = tables.get(section) if section else tables
    return isinstance(table, dict) and name in table
