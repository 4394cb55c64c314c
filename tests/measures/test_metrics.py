"""/metrics: who may read it, what is counted, and that the pages about it are of what there is."""

import json
import re
import socket
from collections import defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families

from app.cli import main
from app.net.exposition import may_read
from tests.kit.client import WAIT_SECONDS_MAX, wait_until
from tests.kit.server_process import ROOT, ServerProcess
from tests.kit.transfers import Answer, request

SERVER_SETTINGS = {"METRICS_TOKEN": "s3cret-tökén"}
TOKEN = "s3cret-tökén".encode().decode("latin-1")  # as http.client sends bytes that are no ASCII
DASHBOARD = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
PAGE = (ROOT / "docs" / "metrics.md").read_text()
_SUFFIXES = re.compile(r"_(bucket|sum|count)$")


@pytest.fixture(scope="module", autouse=True)
def certificate(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A certificate of the module's server, so that there are all metrics."""
    folder = tmp_path_factory.mktemp("tls")
    result = CliRunner().invoke(main, ["selfsigned", "--directory", str(folder)])
    assert result.exit_code == 0, result.output
    SERVER_SETTINGS["TLS_CERT"] = str(folder / "tls-cert.pem")
    SERVER_SETTINGS["TLS_KEY"] = str(folder / "tls-key.pem")


def _ask(server: ServerProcess, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(server, "GET", "/metrics", None, named)


def _values(server: ServerProcess) -> dict[str, float]:
    """Return the value of each sample, by its name and its labels' values."""
    families = text_string_to_metric_families(_ask(server).body.decode())
    samples = (sample for family in families for sample in family.samples)
    found = {" ".join([each.name, *each.labels.values()]): each.value for each in samples}
    return defaultdict(float, found)


def _families(server: ServerProcess) -> dict[str, tuple[str, str]]:
    """Return the kind of each metric, and what it says that it is, by the name in the page."""
    text = _ask(server).body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    told = re.findall(r"^# HELP (\S+) (.*)$", text, re.M)
    return {name: (kinds[name], what) for name, what in told}


# Hundreds of requests in one write keep nobody waiting: others have their turn between any two.
def test_requests_in_a_row(server, new_name) -> None:
    chatter, requests = server.program().register(new_name("chatter")), 300
    head = b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS_MAX) as scraper:
        scraper.sendall(head)
        assert scraper.recv(65536).startswith(b"HTTP/1.1 200 OK")
        scraper.sendall(head * requests)
        chatter.call("ping")
        scraper.shutdown(socket.SHUT_WR)
        scraper.setblocking(False)
        answers = b""
        with suppress(BlockingIOError):
            answers = scraper.recv(1 << 20)
        assert answers.count(b"200 OK") < requests
        scraper.settimeout(WAIT_SECONDS_MAX)
        answers += b"".join(iter(partial(scraper.recv, 1 << 20), b""))
    assert answers.count(b"200 OK") == requests


# A program on this machine may read what was counted, in the form that Prometheus knows.
def test_this_machine(server) -> None:
    answer = _ask(server)
    assert (answer.status, answer.headers["Content-Type"]) == (200, CONTENT_TYPE_LATEST)
    assert len(list(text_string_to_metric_families(answer.body.decode()))) > 25


# Whoever comes through a proxy is not of this machine, and needs the token, which no log holds.
def test_the_token(server) -> None:
    for header in ("Forwarded", "X-Forwarded-Proto", "CF-Connecting-IP", "Via"):
        assert _ask(server, **{header: "192.0.2.7"}).status == 403
    told = _ask(server, X_Forwarded_For="192.0.2.7")
    assert (told.status, told.body.count(b"\n")) == (403, 1)
    assert b"GREENROOM_METRICS_TOKEN" in told.body
    assert _ask(server, Authorization="Bearer wrong").status == 403
    bearer = f"Bearer {TOKEN}"
    assert _ask(server, X_Forwarded_For="192.0.2.7", Authorization=bearer).status == 200
    assert "s3cret" not in server.log


# Where a request comes from decides, unless it brings a token: then that alone does.
@pytest.mark.parametrize(
    ("address", "given", "token", "may"),
    [
        *((address, "", "", True) for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")),
        ("127.3.2.1", "", "s3cret", True),
        *((address, "", "", False) for address in ("192.0.2.7", "::ffff:192.0.2.7")),
        ("192.0.2.7", "Bearer ", "", False),
        *(("192.0.2.7", f"{word}s3cret", "s3cret", True) for word in ("Bearer ", "bearer  ")),
        *(("192.0.2.7", given, "s3cret", False) for given in ("Bearer s3cre", "Basic s3cret")),
        ("127.0.0.1", "Bearer wrong", "s3cret", False),
    ],
)
def test_who_may_read(address: str, given: str, token: str, may: bool) -> None:
    asked = {"REMOTE_ADDR": address, **({"HTTP_AUTHORIZATION": given} if given else {})}
    assert may_read(asked, token) is may


# What happens is counted, once: messages, lines and sends to readers, logins, refusals, files.
def test_what_is_counted(server, pair, new_name) -> None:
    writer, reader = pair
    before = _values(server)
    writer.type("one", "two", "/join nowhere at all", "/upload hello.txt", "aGVsbG8=", ".")
    file_id = re.search(r"/get (\d+)", reader.expect("/get ") + "/get " + reader.expect_line())[1]
    reader.type(f"/download {file_id}")
    reader.expect("hello.txt, 5 bytes")
    late = server.newcomer()
    late.exchange(f"/login {new_name('nobody')} secret", "Error: wrong name or password")
    after = _values(server)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["greenroom_messages_total"] == 2
    assert grown["greenroom_deliveries_total"] == 6  # two messages and a file, to two readers
    assert 2 <= grown["greenroom_sends_total"] <= 6
    assert grown["greenroom_logins_total login_refused"] == 1
    assert grown["greenroom_refusals_total login_refused"] == 1
    assert grown["greenroom_refusals_total bad_arguments"] == 1
    assert grown["greenroom_file_bytes_total in"] == grown["greenroom_file_bytes_total out"] == 5
    assert grown["greenroom_commit_seconds_count"] >= 2
    assert grown["greenroom_delivery_seconds_count"] == grown["greenroom_batch_entries_count"] >= 2
    assert grown["greenroom_batch_entries_sum"] == 3
    assert grown["greenroom_sessions"] == 1


# What can't be stored is counted by itself, and so is that the database did not take it. The server
# says that it is ill until it is well again.
def test_what_is_not_stored(server, pair) -> None:
    writer, _ = pair
    before = _values(server)
    server.limit_files(0)
    writer.type("lost")
    writer.expect("Error: not stored: ")
    after, health = _values(server), request(server, "GET", "/healthz")
    server.limit_files(None)
    assert after["greenroom_well"] == 0
    assert (health.status, health.body) == (503, b"messages can't be stored now\n")
    for name in ("messages_not_stored_total", "commits_failed_total", "refusals_total not_stored"):
        assert after[f"greenroom_{name}"] == before[f"greenroom_{name}"] + 1, name
    writer.type("kept")
    writer.expect("kept\r\n")
    wait_until(lambda: _values(server)["greenroom_well"] == 1, "it is well again")
    assert request(server, "GET", "/healthz").body == b"ok\n"


# Who is turned away is counted, whatever they speak, in their own words or at once.
def test_who_is_turned_away(start_server) -> None:
    server = start_server(CONNECTIONS_MAX=1)
    person = server.connect().register("alice")
    for client in [server.connect() for _ in range(3)]:
        assert "the server is full" in client.expect_end()
    assert _ask(server).status == 503
    person.close()
    wait_until(lambda: _ask(server).status == 200, "there is room again")
    values = _values(server)
    assert values["greenroom_connections_refused_total"] >= 4
    assert values["greenroom_refusals_total full"] == values["greenroom_connections_refused_total"]


# The page has each metric that there is, and says of it what the server says itself.
def test_the_page_has_each_metric(server) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", PAGE, re.M)
    assert {name: (kind, what) for name, kind, what in rows} == _families(server)


# The dashboard asks for metrics that there are, and shows each of them somewhere.
def test_the_dashboard_has_each_metric(server) -> None:
    exposed = _families(server)
    asked = set()
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            asked |= set(re.findall(r"\b(?:greenroom|process)_\w+", target["expr"]))
    assert {_SUFFIXES.sub("", name) for name in asked} == set(exposed)
    histograms = {name for name in asked if _SUFFIXES.search(name)}
    assert {exposed[_SUFFIXES.sub("", name)][0] for name in histograms} == {"histogram"}


# Grafana asks whoever loads the dashboard which Prometheus to read, and binds nothing to ours.
def test_the_dashboard_can_be_loaded_anywhere() -> None:
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert "$instance" in panel["targets"][0]["expr"]


# The version that is told is that of the package.
def test_the_version(server) -> None:
    version = re.search(r'^version = "(.*)"$', Path(ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert f'greenroom_info{{version="{version}"}} 1.0' in _ask(server).body.decode()
