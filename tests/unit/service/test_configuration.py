"""Options by layers: who wins, what is refused, and that what is printed reads back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.config import Method
from bayesrca.errors import InvalidSettingsError
from bayesrca.service import LogFormat, ServiceOptions, configure
from bayesrca.service.configuration import FILE_VARIABLE, PREFIX, dashed, kinds


def refusal(*arguments: object) -> InvalidSettingsError:
    with pytest.raises(InvalidSettingsError) as caught:
        configure(*arguments)  # type: ignore[arg-type]
    return caught.value


def write(folder: Path, text: str) -> Path:
    path = folder / "serve.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_layer_beats_the_one_before(tmp_path: Path) -> None:
    path = write(tmp_path, "port = 1\nqueue = 1\nworkers = 1\n")
    environment = {"BAYESRCA_SERVE_PORT": "2", "BAYESRCA_SERVE_QUEUE": "2"}
    found = configure({"port": 3, "workers": None}, environment, path)
    options = found.options
    assert (options.port, options.queue, options.workers, options.host) == (3, 2, 1, "127.0.0.1")
    assert [found.sources[name] for name in ("port", "queue", "workers", "host")] == [
        "--port",
        "BAYESRCA_SERVE_QUEUE",
        str(path),
        "default",
    ]
    assert found.summary == f"--port, {path}, BAYESRCA_SERVE_QUEUE"
    assert configure({}, {}).summary == "defaults"


def test_the_environment_can_name_the_file_and_a_flag_another(tmp_path: Path) -> None:
    named = {FILE_VARIABLE: str(write(tmp_path, "port = 7\n"))}
    assert configure({}, named).options.port == 7
    other = tmp_path / "other.toml"
    other.write_text("port = 8\n", encoding="utf-8")
    assert configure({}, named, other).options.port == 8


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    path = write(tmp_path, 'prior = "learned.json"\n')
    assert configure({}, {}, path).options.prior == tmp_path / "learned.json"
    assert configure({}, {"BAYESRCA_SERVE_PRIOR": "learned.json"}).options.prior == Path(
        "learned.json"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "unknown key 'prot' in {path}; did you mean 'port'?"),
        ("zebra = 1", "unknown key 'zebra' in {path}"),
        ('port = "1"', '{path}: port must be a whole number, got "1"'),
        ("port = true", "{path}: port must be a whole number, got true"),
        ("port = 1.0", "{path}: port must be a whole number, got 1.0"),
        ("warm = 1", "{path}: warm must be true or false, got 1"),
        ("host = 1", "{path}: host must be a text, got 1"),
        ("prior = 1", "{path}: prior must be a text, got 1"),
        ("[port]", "{path}: port must be a whole number, got {{}}"),
        ("drain_seconds = 1979-05-27", '{path}: drain_seconds must be a number, got "1979-05-27"'),
        ("port = 65536", "port must be in [0, 65535], got 65536; it comes from {path}"),
        (
            "drain_seconds = nan",
            "drain_seconds must be a finite number >= 0, got nan; it comes from {path}",
        ),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    error = refusal({}, {}, path)
    assert str(error) == said.format(path=path)
    assert error.field == text.strip("[]").split()[0]


@pytest.mark.parametrize("text", ["port =", "port = 1\nport = 2", "\xff"])
def test_a_file_that_is_no_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("latin-1"))
    assert str(refusal({}, {}, path)).startswith(f"cannot read the configuration {path}: ")
    missing = tmp_path / "none.toml"
    assert str(refusal({}, {}, missing)).endswith(f"{missing}: No such file or directory")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("PROT", "1", "unknown variable {PREFIX}PROT; did you mean '{PREFIX}PORT'?"),
        ("port", "1", "unknown variable {PREFIX}port; did you mean '{PREFIX}PORT'?"),
        ("PORT", "", "{PREFIX}PORT must be a whole number, got ''"),
        ("WARM", "maybe", "{PREFIX}WARM must be true or false, got 'maybe'"),
        ("GRACE_SECONDS", "1s", "{PREFIX}GRACE_SECONDS must be a number, got '1s'"),
        ("QUEUE", "-1", "queue must be in [0, 10000], got -1; it comes from {PREFIX}QUEUE"),
    ],
)
def test_a_variable_that_will_not_do(name: str, text: str, said: str) -> None:
    assert str(refusal({}, {PREFIX + name: text})) == said.format(PREFIX=PREFIX)


def test_other_variables_are_none_of_ours() -> None:
    """Kubernetes sets these two beside a Service called bayesrca."""
    theirs = {"BAYESRCA_PORT": "tcp://10.0.0.1:50051", "BAYESRCA_SERVICE_HOST": "10.0.0.1"}
    assert configure({}, theirs).options == ServiceOptions()


def test_one_of_a_few_words(tmp_path: Path) -> None:
    path = write(tmp_path, 'log_format = "json"\n')
    assert configure({}, {}, path).options.log_format is LogFormat.JSON
    path = write(tmp_path, 'log_format = "xml"\n')
    assert str(refusal({}, {}, path)).endswith("log_format must be one of text, json, got 'xml'")


@pytest.mark.parametrize(
    "endpoint", ["host:1", "ftp://h:1", "http://h", "http://u:p@h:1", "http://h:1/x", "http://h:x"]
)
def test_a_collectors_address_is_nothing_but_that(endpoint: str) -> None:
    error = refusal({"otlp_endpoint": endpoint}, {})
    assert "http://HOST:PORT" in str(error)
    assert "u:p" not in str(error)


@pytest.mark.parametrize("word", ["true", "YES", "on", "1", "false", "No", "off", "0"])
def test_words_for_true_and_false(word: str) -> None:
    options = configure({}, {"BAYESRCA_SERVE_WARM": word}).options
    assert options.warm == (word.lower() in ("true", "yes", "on", "1"))


@given(
    host=st.text(max_size=20).map(lambda text: text.encode(errors="replace").decode()),
    port=st.integers(0, 65535),
    grace=st.floats(0, 1e6),
    warm=st.booleans(),
)
def test_what_is_printed_reads_back(
    tmp_path_factory: pytest.TempPathFactory, host: str, port: int, grace: float, warm: bool
) -> None:
    flags = {"host": host, "port": port, "grace_seconds": grace, "warm": warm, "insecure": True}
    printed = configure(flags, {})
    again = configure({}, {}, write(tmp_path_factory.mktemp("printed"), printed.to_toml()))
    assert again.options == printed.options


def test_every_option_has_a_type_that_each_layer_can_read() -> None:
    assert {*kinds().values()} <= {bool, int, float, str, Path, LogFormat, Method}
    for option in fields(ServiceOptions):
        assert option.metadata["help"].endswith(".") or option.metadata["hidden"]
        assert dashed(option.name).replace("-", "").islower()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"alert_port": 1, "prometheus": "http://x"}, "must be stored"),
        ({"alert_port": 1, "data_dir": Path("x")}, "no source is"),
        (
            {
                "alert_port": 1,
                "prometheus": "http://x",
                "data_dir": Path("x"),
                "alert_host": "0.0.0.0",
            },
            "refusing to take alerts on 0.0.0.0",
        ),
    ],
)
def test_alerts_need_a_store_a_source_and_a_safe_place(
    flags: dict[str, object], words: str
) -> None:
    assert words in str(refusal(flags, {}))
    if "alert_host" in flags:
        configure(flags | {"insecure": True}, {})
