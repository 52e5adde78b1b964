"""Tracking URIs: which are possible, whether the store behind one answers, what may be shown."""

import base64
import os
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from trials.errors import UserError, nearest

_DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SCHEMES = ("http", "https", "sqlite", *_DATABASES)
# Up to the last @: a password may hold a slash that its owner forgot to escape.
_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"<>]*@")
_SECRETS = re.compile(r"([?&;][^=&;\s]*(?:password|pwd|token|secret|key)[^=&;\s]*=)[^&;\s]*", re.I)


def redact(text: str) -> str:
    """A URI, or a message that holds some, without user names, passwords and tokens."""
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite URI; None for any other URI.

    Raises:
        UserError: the URI names no file.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.split("+")[0] != "sqlite":
        return None
    name = rest.partition("?")[0].removeprefix("/")
    if not rest.startswith("/") or name in ("", ":memory:"):
        raise UserError(
            f"tracking URI {redact(uri)} names no file; expected sqlite:///<folder>/mlflow.db"
        )
    return Path(name)


def default_artifacts(uri: str) -> str | None:
    """Where artifacts go unless told: beside a SQLite file, else where the server puts them.

    Raises:
        UserError: a SQLite URI that names no file.
    """
    file = sqlite_file(uri)
    return None if file is None else (file.absolute().parent / "mlartifacts").as_uri()


def check(uri: str, timeout: float = 5.0) -> None:
    """Make sure that a tracking store can be used, before anything is started.

    Args:
        uri: what `--tracking-uri` says.
        timeout: seconds to wait for a server.

    Raises:
        UserError: the store does not answer, cannot be written, or is of a kind that MLflow 3
            does not take; credentials are not shown.
    """
    scheme = uri.partition(":")[0].split("+")[0].lower() if ":" in uri else ""
    if scheme in ("", "file"):
        raise UserError(
            f"tracking URI {redact(uri)}: MLflow 3 keeps no runs in plain folders; "
            "use sqlite:///<folder>/mlflow.db, or the address of a server"
        )
    if scheme not in _SCHEMES:
        message = f"tracking URI {redact(uri)}: unknown scheme '{scheme}'"
        raise UserError(message + nearest(scheme, _SCHEMES))
    if scheme == "sqlite":
        _check_file(uri)
    elif scheme in _DATABASES:
        _check_database(uri, _DATABASES[scheme], timeout)
    else:
        _check_server(uri, timeout)


def _check_file(uri: str) -> None:
    file = sqlite_file(uri)
    assert file is not None
    probe = file.parent / f".{file.name}.probe-{os.getpid()}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
        if file.exists():
            file.open("r+b").close()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"tracking store {file} cannot be written: {reason}") from None


def _check_database(uri: str, port: int, timeout: float) -> None:
    try:
        parts = urllib.parse.urlsplit(uri)
        address = (parts.hostname or "localhost", parts.port or port)
        socket.create_connection(address, timeout).close()
    except (OSError, ValueError) as error:
        raise _silent(uri, error) from None


def _check_server(uri: str, timeout: float) -> None:
    reason: object = None
    for path in ("/health", "/version"):
        try:
            with urllib.request.urlopen(_request(uri, path), timeout=timeout):
                return
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code in (401, 403):
                raise UserError(
                    f"tracking server {redact(uri)} refuses us ({reason}); set "
                    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or a token"
                ) from None
        except (OSError, ValueError) as error:
            raise _silent(uri, getattr(error, "reason", error)) from None
    raise _silent(uri, reason)


def _request(uri: str, path: str) -> urllib.request.Request:
    """The request, with what the URI or MLflow's own variables say about who asks."""
    parts = urllib.parse.urlsplit(uri)
    address = parts.netloc.rpartition("@")[2]
    url = urllib.parse.urlunsplit((parts.scheme, address, parts.path.rstrip("/") + path, "", ""))
    request = urllib.request.Request(url)
    user = urllib.parse.unquote(parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME", ""))
    word = urllib.parse.unquote(parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user or word:
        pair = base64.b64encode(f"{user}:{word}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    elif token:
        request.add_header("Authorization", f"Bearer {token}")
    return request


def _silent(uri: str, reason: object) -> UserError:
    return UserError(
        f"tracking server {redact(uri)} does not answer ({redact(str(reason))}); start it, pass "
        "another --tracking-uri, or --spool to run without it and send later"
    )
