"""Tracking URIs: what is refused, in which words, and no password among them."""

import contextlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ablate.tracking import check, redact
from trials.errors import UserError


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mlruns", "use sqlite:///<folder>/mlflow.db"),
        ("/data/mlruns", "use sqlite:///<folder>/mlflow.db"),
        ("file:///data/mlruns", "MLflow 3 keeps no runs in plain folders"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlit:///x.db", "unknown scheme 'sqlit'; did you mean 'sqlite'"),
        ("ftp://u:secret@host/x", "tracking URI ftp://***@host/x: unknown scheme"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot be written"),
    ],
)
def test_check_refuses(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check(uri)


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2"])
def test_a_dead_server_is_named_without_its_password(scheme: str) -> None:
    port = free_port()
    uri = f"{scheme}://me:pa%2Fss@127.0.0.1:{port}"
    shown = re.escape(f"tracking server {scheme}://***@127.0.0.1:{port} does not answer (")
    with pytest.raises(UserError, match=shown + ".*refused.*--spool") as caught:
        check(uri, timeout=2)
    assert "ss" not in str(caught.value).partition("does not")[0].replace("psycopg2", "")


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.monotonic()
        with pytest.raises(UserError, match=r"does not answer \(.*timed out"):
            check(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout=0.3)
        assert time.monotonic() - started < 5


@contextlib.contextmanager
def serving(statuses: Mapping[str, int], seen: list[str | None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(statuses.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_check_takes_what_answers() -> None:
    seen: list[str | None] = []
    with serving({"/health": 200}, seen) as place:
        check(f"http://{place}/")
        check(f"http://me:word@{place}")
    assert seen == [None, "Basic bWU6d29yZA=="]
    with serving({"/m/version": 200}, seen) as place:
        check(f"http://{place}/m")
    with (
        serving({"/health": 401}, seen) as place,
        pytest.raises(UserError, match=r"refuses us \(HTTP 401.*MLFLOW_TRACKING_USERNAME"),
    ):
        check(f"http://{place}")
    with (
        serving({}, seen) as place,
        pytest.raises(UserError, match=r"does not answer \(HTTP 404"),
    ):
        check(f"http://{place}")


def test_check_takes_a_writable_file(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path}/deep/mlflow.db")
    assert list((tmp_path / "deep").iterdir()) == []


def test_redact() -> None:
    assert redact("http://u:p/w@d@host/x") == "http://***@host/x"
    assert redact("postgresql://u@host/db?password=geheim&sslmode=on") == (
        "postgresql://***@host/db?password=***&sslmode=on"
    )
    assert redact("http://host:5000/x") == "http://host:5000/x"
