"""The configuration: where values come from, which ones win, and what is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artemis.node.config import Config
from artemis.node.keys import all_keys, show, shown_values
from artemis.node.sources import ConfigError, load, make_config


def write(directory: Path, text: str) -> Path:
    file = directory / "artemis.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems_of(*, file: Path | None = None, environment: dict[str, str] | None = None, **flags: object) -> list[str]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    with pytest.raises(ConfigError) as caught:
        load(file=file, environment=environment or {}, flags=named)
    return caught.value.problems


def test_without_any_source_every_key_has_its_default() -> None:
    config = load(environment={})
    for key in all_keys().values():
        assert key.value_in(config) == key.default
    assert config.sources == {}


def test_a_later_source_wins_and_every_value_knows_its_source(tmp_path: Path) -> None:
    file = write(tmp_path, '[node]\nregion = "file"\nzone = "file"\nport = 1\nhost = "file"\n')
    environment = {"ARTEMIS_NODE_ZONE": "env", "ARTEMIS_NODE_PORT": "2"}
    config = load(file=file, environment=environment, flags={"node.port": 3}, flag_names={"node.port": "--port"})
    assert (config.node.region, config.node.zone, config.node.port) == ("file", "env", 3)
    assert config.sources["node.region"] == f"file {file}"
    assert config.sources["node.zone"] == "environment ARTEMIS_NODE_ZONE"
    assert config.sources["node.port"] == "flag --port"
    assert "node.id" not in config.sources


def test_an_unknown_key_in_the_file_names_the_closest_known_one(tmp_path: Path) -> None:
    file = write(tmp_path, "[registry]\nlease_tl_s = 20\n")
    (problem,) = problems_of(file=file)
    assert problem == f"registry.lease_tl_s (file {file}): unknown key; did you mean registry.lease_ttl_s?"


def test_an_unknown_section_names_the_closest_known_one(tmp_path: Path) -> None:
    (problem,) = problems_of(file=write(tmp_path, "[registri]\nlease_ttl_s = 20\n"))
    assert "registri" in problem
    assert "did you mean registry?" in problem


def test_an_unknown_artemis_variable_is_an_error_and_others_are_not() -> None:
    environment = {"ARTEMIS_REGISTRY_LEASE_TTL": "20", "PATH": "/bin", "ARTEMIS_URL": "http://127.0.0.1:1"}
    (problem,) = problems_of(environment=environment)
    assert problem == (
        "ARTEMIS_REGISTRY_LEASE_TTL (environment): unknown key; did you mean ARTEMIS_REGISTRY_LEASE_TTL_S?"
    )


def test_a_value_out_of_range_is_named_with_its_source_and_what_is_allowed() -> None:
    (problem,) = problems_of(environment={"ARTEMIS_NODE_PORT": "99999"})
    assert problem == (
        "node.port = '99999' (environment ARTEMIS_NODE_PORT): not allowed; it must be a whole number from 0 to 65 535"
    )


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, '[node]\nport = "8080"\n[logging]\nformat = "xml"\n')
    assert len(problems_of(file=file, environment={"ARTEMIS_DATA_DIR": "x"}, node__fast_lane="maybe")) == 4


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "", "twenty"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    assert "registry.lease_ttl_s" in problems_of(environment={"ARTEMIS_REGISTRY_LEASE_TTL_S": text})[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("not toml", "is not TOML"), ("node = 3", "is a section"), ("[node]\nport = true", "node.port")],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: str, expected: str) -> None:
    (problem,) = problems_of(file=write(tmp_path, content))
    assert expected in problem
    assert "\n" not in problem


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems_of(file=tmp_path / "none.toml")
    assert "none.toml: cannot be read" in problem


def test_lists_and_maps_are_written_on_one_line_in_the_environment() -> None:
    environment = {
        "ARTEMIS_CLUSTER_NODES": "zone1:http://a:8080,http://b:8080; zone2:http://c:8080",
        "ARTEMIS_CLUSTER_DIALECTS": "http://c:8080=rpc",
        "ARTEMIS_RATE_LIMITS_OPERATIONS": "registry.register:50,status.get-leases:7",
        "ARTEMIS_NODE_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1",
    }
    config = load(environment=environment)
    assert config.cluster.nodes == {"zone1": ("http://a:8080", "http://b:8080"), "zone2": ("http://c:8080",)}
    assert config.cluster.dialects == {"http://c:8080": "rpc"}
    assert config.rate_limits.operations == {"registry.register": 50, "status.get-leases": 7}
    assert config.node.trusted_proxies == ("10.0.0.0/8", "127.0.0.1")


def test_the_cluster_is_a_table_in_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[cluster.nodes]\nzone1 = ["http://a:8080", "http://b:8080"]\n')
    assert load(file=file, environment={}).cluster.nodes == {"zone1": ("http://a:8080", "http://b:8080")}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"registry.lease_ttl_min_s": 100, "registry.lease_ttl_max_s": 10}, "registry.lease_ttl_min_s"),
        ({"registry.sweep_interval_s": 5, "registry.lease_ttl_s": 1}, "registry.sweep_interval_s"),
        ({"rate_limits.operations": "registry.enroll:5"}, "rate_limits.operations"),
        ({"cluster.nodes": "zone1:localhost"}, "cluster.nodes"),
        ({"cluster.nodes": "zone1:http://a:1;zone2:http://a:1"}, "cluster.nodes"),
        ({"cluster.dialects": "http://a:1=rpc"}, "cluster.dialects"),
        ({"cluster.force_up": True, "cluster.force_down": True}, "cluster.force_up"),
        ({"cluster.secret": "short"}, "cluster.secret"),
        ({"cluster.secrets": f"{'x' * 16},short"}, "cluster.secrets"),
        ({"cluster.secrets": ["x" * 16] * 9}, "cluster.secrets"),
        ({"cluster.secret": "x" * 16, "cluster.secrets": "y" * 16}, "cluster.secrets"),
        ({"cors.credentials": True}, "cors.credentials"),
        ({"cors.origins": "console"}, "cors.origins"),
        ({"node.trusted_proxies": "proxy.local"}, "node.trusted_proxies"),
        ({"node.url": "127.0.0.1:8080"}, "node.url"),
        ({"websocket.black_list_heartbeat": "10.0.0.0/8"}, "websocket.black_list_heartbeat"),
        ({"websocket.black_list_discovery": "x"}, "websocket.black_list_discovery"),
        ({"websocket.black_list_discoveries": "x"}, "websocket.black_list_discoveries"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(values)
    assert caught.value.problems[0].startswith(f"{key} = ")


def test_the_secret_is_shown_nowhere() -> None:
    secret = "0123456789abcdef"
    config = make_config({"cluster.secret": secret})
    key = all_keys()["cluster.secret"]
    assert config.cluster.secret == secret
    assert secret not in repr(config)
    assert show(key, key.value_in(config)) == "***"
    assert "short" not in problems_of(cluster__secret="short")[0].partition("(")[0]


def test_several_secrets_are_shown_nowhere_and_the_first_is_first() -> None:
    secrets = ("the new one of them", "the old one of them")
    config = make_config({"cluster.secrets": ", ".join(secrets)})
    assert config.cluster.known_secrets == secrets
    assert make_config({"cluster.secret": secrets[0]}).cluster.known_secrets == secrets[:1]
    assert make_config().cluster.known_secrets == ()
    shown = repr(config) + str(shown_values(config))
    assert not any(secret in shown for secret in secrets)
    assert shown_values(config)["cluster.secrets"].startswith("*** (")
    too_short = ["0123456789abcdef", "a shorter one"]
    assert not any(secret in problem for problem in problems_of(cluster__secrets=too_short) for secret in too_short)


def test_the_secrets_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef\n", encoding="utf-8")
    config = make_config({"cluster.secret_file": str(file)})
    assert config.cluster.known_secrets == ("0123456789abcdef",)
    assert config.sources["cluster.secrets"] == f"file {file}"
    file.write_text("fedcba9876543210\n\n 0123456789abcdef \n", encoding="utf-8")
    config = make_config({"cluster.secret_file": str(file)})
    assert config.cluster.known_secrets == ("fedcba9876543210", "0123456789abcdef")
    assert "give one of them" in problems_of(cluster__secret_file=str(file), cluster__secret="x" * 16)[0]
    assert "give one of them" in problems_of(cluster__secret_file=str(file), cluster__secrets="x" * 16)[0]
    assert "cannot be read" in problems_of(cluster__secret_file=str(tmp_path / "none"))[0]


def test_rate_limits_of_an_operation_default_to_those_of_its_area() -> None:
    limits = make_config({"rate_limits.operations": "registry.heartbeat:5"}).rate_limits
    assert limits.limit_of("registry", "heartbeat") == 5
    assert limits.limit_of("registry", "register") == 100_000
    assert Config().rate_limits.limit_of("status", "get-leases") == 10


def test_the_advertised_url_is_one_that_others_can_use() -> None:
    assert Config().advertised_url() == "http://127.0.0.1:8080"
    assert make_config({"node.port": 0}).advertised_url(4711) == "http://127.0.0.1:4711"
    assert make_config({"node.host": "::1"}).advertised_url() == "http://[::1]:8080"
    assert "0.0.0.0" not in make_config({"node.host": "0.0.0.0"}).advertised_url()
    named = make_config({"node.url": "https://registry.example/"})
    assert named.advertised_url() == "https://registry.example"
    assert named.node_id() == "registry.example"
    assert make_config({"node.id": "n1"}).node_id() == "n1"


def test_every_key_has_a_description_and_says_what_is_allowed() -> None:
    for key in all_keys().values():
        assert key.description.endswith(".")
        assert key.allowed
        assert re.fullmatch(r"ARTEMIS_[A-Z_]+", key.environment)


def test_no_two_keys_share_an_environment_variable() -> None:
    variables = [key.environment for key in all_keys().values()]
    assert len(variables) == len(set(variables))


@given(values=st.dictionaries(st.sampled_from(sorted(all_keys())), st.text(max_size=20), max_size=5))
def test_whatever_is_written_the_answer_is_a_configuration_or_a_list_of_problems(values: dict[str, str]) -> None:
    environment = {all_keys()[name].environment: text for name, text in values.items()}
    try:
        config = load(environment=environment)
    except ConfigError as error:
        problems = error.problems
    else:
        problems = []
        assert config.sources.keys() >= values.keys()
    assert all(problem.startswith(tuple(values)) for problem in problems)
