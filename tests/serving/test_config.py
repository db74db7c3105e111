"""What `recgen serve` and `recgen keys` are told."""

from pathlib import Path
from typing import Any

import pytest

from rec_gen.config import parse_config
from rec_gen.errors import ConfigError
from serving.config import ServeConfig
from tests.rec_gen.command import error, run


def parse(**table: Any) -> ServeConfig:
    return parse_config(ServeConfig, {"bundle": "b", **table})


def test_a_server_is_closed_by_default() -> None:
    config = parse()
    assert config.host == "127.0.0.1"
    assert config.cors_origins == ()
    assert config.store.startswith("sqlite:///")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])  # noqa: S104
def test_other_machines_need_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="can be reached by others"):
        parse(host=host)
    assert parse(host=host, keys="k.json").keys == Path("k.json")
    assert parse(host=host, insecure=True).insecure


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "::1"])
def test_this_machine_needs_none(host: str) -> None:
    assert parse(host=host).keys is None


@pytest.mark.parametrize(
    "table",
    [
        {"store": "mysql://x"}, {"store": "sqlite:///"}, {"port": 70000}, {"tls": {"cert": "c"}},
        {"batching": {"max_batch": 0}}, {"unknown": 1}, {"log_level": "loud"},
        {"limits": {"rate": "many"}}, {"limits": {"failures": "1/week;"}},
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="key '"):
        parse(**table)


def test_a_cluster_needs_a_store_that_all_its_machines_reach(tmp_path: Path) -> None:
    for table in ({}, {"max_replicas": 2}, {"address": "10.0.0.1:6379"}):
        with pytest.raises(ConfigError, match=r"store 'sqlite:.*give --store postgresql"):
            parse(ray=table)
        assert parse(ray=table, store="redis://h/0").ray is not None
        assert parse(ray=table, store="postgresql://h/d").ray is not None
    with pytest.raises(ConfigError, match="min_replicas 2 is above max_replicas 1"):
        parse(ray={"min_replicas": 2}, store="redis://h/0")
    code, line = error("serve", tmp_path, "--ray", "auto")
    assert code == 2
    assert "is one machine's, and Ray runs servers on several" in line


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    code, line = error("serve", tmp_path, "--host", "0.0.0.0")  # noqa: S104
    assert code == 2
    assert "give a file of API keys" in line
    file = tmp_path / "serve.toml"
    file.write_text("port = 99999")
    assert "key 'port'" in error("serve", tmp_path, "--config", file)[1]
    file.write_text('ray = "auto"')
    assert "key 'ray'" in error("serve", tmp_path, "--config", file, "--ray", "auto")[1]
    file.write_text("port = 0")
    assert "is not a bundle" in error("serve", tmp_path, "--config", file, "--port", 0)[1]
    assert "key 'batching.queue'" in error("serve", tmp_path, "--set", "queue=0")[1]


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = run("keys", "create", "--file", file, "--tenant", "shop", "--user", "u", "--days", 3)
    secret = made.output.strip()
    identity = secret.split("_")[1]
    listed = run("keys", "list", "--file", file).output
    assert listed.startswith(f"{identity}  shop  user u  recommend,events  until ")
    assert secret not in listed
    assert run("keys", "revoke", "--file", file, identity).exit_code == 0
    assert run("keys", "list", "--file", file).output == ""
    assert error("keys", "revoke", "--file", file, identity)[1].endswith(
        "recgen keys list shows them"
    )
    assert "'scopes" in error("keys", "create", "--file", file, "--scope", "all")[1]
    assert "recgen keys create" in error("keys", "list", "--file", tmp_path / "none.json")[1]


def test_adapters_are_vllms() -> None:
    with pytest.raises(ConfigError, match="say runtime = 'vllm'"):
        parse(adapters={"spring": "folder"})
    told = parse(runtime="vllm", adapters={"spring": "folder"}, vllm={"enforce_eager": True})
    assert told.adapters == {"spring": Path("folder")}
