"""The served page of a run, the page that a search writes, and the finished example."""

import http.client
import json
import logging
from threading import Thread

import pytest
from runs import CONFIG, HISTORY, make_run

from lemonade_tf.cli import main
from lemonade_tf.monitoring.callback import SearchState
from lemonade_tf.monitoring.live_report import LiveReport
from lemonade_tf.report.demo import unpack_demo
from lemonade_tf.report.page_server import ReportServer
from lemonade_tf.runs import read_run
from lemonade_tf.runs.pace import seconds_left
from lemonade_tf.search import SearchConfig
from lemonade_tf.store import RunStore, StoreError


@pytest.fixture
def server(tmp_path):
    server = ReportServer(make_run(tmp_path / "run", HISTORY[:3]))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_page_and_its_data_are_served_and_follow_the_run(server):
    answer, body = get(server, "/")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert b"<body data-live>" in body
    answer, body = get(server, "/data.json")
    tag = answer.headers["ETag"]
    assert json.loads(body)["ids"] == ["0-0", "0-1", "0-2"]
    answer, body = get(server, "/data.json", **{"If-None-Match": tag})
    assert (answer.status, body) == (304, b"")
    store = RunStore.open(server._workdir)
    store.history.append(HISTORY[3:4])
    server._next = 0.0
    answer, body = get(server, "/data.json", **{"If-None-Match": tag})
    assert json.loads(body)["ids"][-1] == "1-0"
    answer, body = get(server, "/data.json", method="HEAD")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/config.json", "/../run/config.json", "/%2e%2e/", "/models/0-0.h5", "/?x"]
)
def test_nothing_else_is_served(server, path):
    assert get(server, path)[0].status == 404


def test_other_names_of_the_host_are_refused(server):
    assert get(server, "/", Host="evil.example:80")[0].status == 404
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0].status == 200
    assert get(server, "/", method="POST")[0].status == 501


def test_the_port_may_be_in_use(server, capsys):
    assert main(["watch", str(server._workdir), "--port", str(server.server_port)]) == 1
    assert "choose another --port" in capsys.readouterr().err


def test_a_search_writes_its_page_now_and_then(tmp_path, caplog):
    folder = make_run(tmp_path / "run")
    state = SearchState(SearchConfig(), folder, 10)
    live = LiveReport()
    live.on_network_end(state, HISTORY[0])
    assert (folder / "report.html").exists()
    (folder / "report.html").unlink()
    live.on_network_end(state, HISTORY[0])  # at once again
    assert not (folder / "report.html").exists()
    live._next = 0.0
    (folder / "report.html").mkdir()  # cannot be replaced
    with caplog.at_level(logging.WARNING):
        live.on_network_end(state, HISTORY[0])
        live.on_network_end(state, HISTORY[0])
    assert caplog.text.count("report.html is no longer updated") == 1


def test_the_time_left_leaves_out_pauses():
    times = [0, 10, 20, 30, 90_000, 90_010]
    history = [HISTORY[0].__class__(**{**vars(HISTORY[0]), "timestamp": t}) for t in times]
    assert seconds_left(history, 10) == 40
    assert seconds_left(history[:1], 10) is None


def test_the_example(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    for _ in range(2):  # the second time, the folder is there
        assert main(["demo"]) == 0
        out = capsys.readouterr().out
        assert "9-53 is the knee" in out
        assert f"Report      {tmp_path}/runs/demo/report.html" in out
    run = read_run("runs/demo")
    assert len(run.trained) == 164
    text = (tmp_path / "runs/demo/report.html").read_text()
    assert text.count('"boxes"') == len(run.front()) == 11
    assert len(text) < 200_000
    assert main(["front", "runs/demo", "--best", "smallest: multiply_adds<=1e5", "--ids"]) == 0
    with pytest.raises(StoreError, match="holds another run"):
        unpack_demo(make_run(tmp_path / "other", config=CONFIG))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(StoreError, match="not empty"):
        unpack_demo(tmp_path / "full")
