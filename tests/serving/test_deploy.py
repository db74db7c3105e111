"""The files that deploy and watch a server, checked by the tools that read them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from eval.benchmarks.serving_redis import free_port
from serving.keys import create_key
from serving.metrics import Metrics
from tests.serving.server import ROOT, Server, served, until

DEPLOY = ROOT / "serving" / "deploy"
ALERTS = DEPLOY / "alerts.yml"
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "recgen.json").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
RULES = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
RULE_TESTS = Path(__file__).parent / "alerts.test.yml"


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def passes(name: str, *arguments: object) -> None:
    done = tool(name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "metrics.key").write_text("rg_0")
    passes("promtool", "check", "config", tmp_path / "prometheus.yml")


@pytest.mark.slow
def test_prometheus_reads_a_server_with_its_key(bundle: Path, tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    keys, port = tmp_path / "keys.json", free_port()
    (tmp_path / "metrics.key").write_text(create_key(keys, "shop", ["metrics"]) + "\n")
    shutil.copy(ALERTS, tmp_path)
    store = f"sqlite:///{tmp_path}/store.db"
    with served(bundle, "--store", store, "--keys", keys) as server:
        text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
        target = server.url.removeprefix("http://")
        file = tmp_path / "prometheus.yml"
        file.write_text(text.replace("recgen:8000", target).replace("10s", "1s"))
        listen = f"--web.listen-address=127.0.0.1:{port}"
        folder = f"--storage.tsdb.path={tmp_path}/tsdb"
        process = subprocess.Popen(
            [program, f"--config.file={file}", listen, folder], stderr=subprocess.DEVNULL
        )
        try:
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                transport=httpx.HTTPTransport(retries=8),
            )
            with client:
                until(lambda: client.get("/-/ready").is_success)
                assert value(client, "recgen_store_up == 1") == "1"
                assert value(client, "recgen_queue_limit") == "256"
                (group,) = client.get("/api/v1/rules").json()["data"]["groups"]
                assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}
                assert {rule["state"] for rule in group["rules"]} == {"inactive"}
        finally:
            process.terminate()
            process.wait(60)


def value(client: httpx.Client, query: str) -> str:
    """The value of a series, once Prometheus has read it."""
    found: list[Any] = []

    def read() -> bool:
        answer = client.get("/api/v1/query", params={"query": query}).raise_for_status()
        found.extend(answer.json()["data"]["result"])
        return bool(found)

    until(read)
    return str(found[0]["value"][1])


def test_alerts_fire_when_they_should_and_not_before() -> None:
    passes("promtool", "test", "rules", RULE_TESTS)
    cases = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]
    wanted = [case for test in cases for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in wanted if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in wanted if not case.get("exp_alerts")} == names


def test_panels_are_promql(tmp_path: Path) -> None:
    records = [
        {"record": f"panel:{number}", "expr": plain(panel)} for number, panel in enumerate(PANELS)
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    passes("promtool", "check", "rules", rules)
    rules.write_text(rules.read_text().replace("sum(", "sum((", 1))
    assert tool("promtool", "check", "rules", rules).returncode != 0


def plain(expression: str) -> str:
    """An expression as Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *PANELS])
def test_expressions_name_metrics_that_the_server_counts(expression: str) -> None:
    metrics = Metrics()
    metrics.requests.labels("r", "GET", "200")
    metrics.latency.labels("total")
    metrics.tokens.labels("prompt")
    known = {
        sample.name: set(sample.labels)
        for family in metrics.registry.collect()
        for sample in family.samples
    }
    for metric, inside in re.findall(r"\b(recgen_\w+)(?:{([^}]*)})?", expression):
        assert metric in known
        labels = set(re.findall(r'(\w+)(?:=|!)~?"', inside))
        assert labels - {"instance", "job"} <= known[metric]
    assert re.search(r"\b(recgen_\w+|up)\b", expression)


def test_the_dashboard_reads_the_data_source_that_is_there() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    text = (provisioning / "datasources" / "prometheus.yaml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    read = [panel["datasource"] for panel in BOARD["panels"]]
    read += [variable["datasource"] for variable in BOARD["templating"]["list"]]
    assert all(one == {"type": source["type"], "uid": source["uid"]} for one in read)
    assert source["url"].split("/")[2].split(":")[0] in COMPOSE["services"]
    text = (provisioning / "dashboards" / "recgen.yaml").read_text(encoding="utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    volumes = COMPOSE["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in volumes


def test_panels_do_not_overlap() -> None:
    taken = [
        (grid["x"] + x, grid["y"] + y)
        for grid in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(grid["w"])
        for y in range(grid["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_the_dockerfile_is_clean() -> None:
    passes("hadolint", DEPLOY / "Dockerfile")


def test_the_image_starts_the_server_itself_and_not_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last = dict(line.split(" ", 1) for line in lines if re.match("(ENTRYPOINT|CMD|USER) ", line))
    assert last["USER"] == "10001"
    assert json.loads(last["ENTRYPOINT"]) == ["recgen", "serve"]
    copied = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(re.findall(r"^!(\w+)$", copied, re.MULTILINE))


def test_the_health_check_asks_whether_requests_are_taken(server: Server) -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    check = re.search(r"^HEALTHCHECK .*\\\n    CMD (.*)$", text, re.MULTILINE)
    assert check is not None
    program, *arguments = json.loads(check[1])
    assert program == "python"

    def code(url: str) -> int:
        told = [part.replace("http://127.0.0.1:8000", url) for part in arguments]
        assert told != arguments
        return subprocess.run([sys.executable, *told], stderr=subprocess.DEVNULL).returncode

    assert code(server.url) == 0
    assert code(f"{server.url}/none") != 0
    assert code(f"http://127.0.0.1:{free_port()}") != 0


def options(arguments: list[str]) -> dict[str, Any]:
    """What `recgen serve` makes of a command line."""
    from rec_gen.cli.serving import serve

    return serve.make_context("serve", list(arguments)).params


def test_the_image_serves_what_compose_mounts() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    command = re.search(r"^CMD (.*)$", text, re.MULTILINE)
    assert command is not None
    told = options(json.loads(command[1]))
    mounted = {volume.split(":")[-2] for volume in volumes("recgen") if volume.endswith(":ro")}
    assert {str(told["bundle"]), str(told["keys"].parent)} <= mounted
    assert told["store"].startswith("sqlite:////data/")
    assert "store:/data" in volumes("recgen")


def volumes(service: str) -> list[str]:
    found: list[str] = COMPOSE["services"][service]["volumes"]
    return found


def test_compose_is_valid_and_watches_from_this_machine_only() -> None:
    passes("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"][name]["ports"])
    for service in COMPOSE["services"].values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    for name in COMPOSE["services"]:
        for volume in volumes(name):
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).exists()
