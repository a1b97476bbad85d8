"""Object storage for tests: a real S3 server (moto's) in a process of its own, and a proxy before it that does harm."""

from __future__ import annotations

import re
import select
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from support.detached import detached

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "hunter2-hunter2",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}

_SERVER = """
import logging, os, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


@dataclass
class Storage:
    """The server; `port` is its own. `environment` leads clients to it through the proxy."""

    port: int
    proxy: Proxy

    @property
    def environment(self) -> Mapping[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}"}

    def put(self, path: str, data: bytes = b"") -> None:
        """Write an object, or make a bucket, as somebody else; the server asks nobody who he is."""
        self._ask("PUT", path, data)

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def get(self, path: str) -> bytes:
        """An object. Raises urllib.error.HTTPError where there is none."""
        return self._ask("GET", path)

    def keys(self, bucket: str) -> list[str]:
        """All that can be seen in a bucket but the marker."""
        found = re.findall(r"<Key>([^<]+)</Key>", self._ask("GET", f"{bucket}?list-type=2").decode())
        return [key for key in found if not key.endswith(".nbflow/archive.json")]

    def parts(self, bucket: str) -> int:
        """Uploads in parts that were begun and neither ended nor given up."""
        return self._ask("GET", f"{bucket}?uploads").count(b"<Upload>")

    def _ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request",
            "Content-Type": "application/octet-stream",
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}", data=data, method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            found: bytes = answer.read()
        return found


@contextmanager
def serving() -> Iterator[Storage]:
    """A server with a proxy that does no harm yet."""
    process = detached([sys.executable, "-c", _SERVER], quiet=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with Proxy(port) as proxy:
            yield Storage(port, proxy)
    finally:
        process.communicate(timeout=30)


@dataclass
class Harm:
    """What the proxy does to a request whose first line fits `on`; `times` of them, then it lets them pass.

    `delay` is in seconds, before the request goes on. `answer` (status, code) comes in place of the server's.
    `cut` ends the connection after so many bytes of the request, the rest of which the server never gets; with `late`
    the server gets all, and its answer is lost. With `silent` it is taken, and nothing ever comes back.
    """

    on: str = "."
    times: int = 1_000_000
    delay: float = 0.0
    answer: tuple[int, str] | None = None
    cut: int | None = None
    late: bool = False
    silent: bool = False
    seen: list[str] = field(default_factory=list)


class Proxy:
    """A TCP proxy on loopback that looks at each request. `down` refuses connections on the same port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.harm: Harm | None = None
        self.requests: list[str] = []
        self.heads: list[str] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Take connections, again on the port of before."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._end_all()

    def hurt(self, harm: Harm | None) -> Harm | None:
        """From now on do this to requests; None for nothing."""
        self.harm = harm
        self._end_all()
        return harm

    def _end_all(self) -> None:
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._open.update((client, server))
            try:
                while self._request(client, server):
                    pass
            finally:
                with self._lock:
                    self._open.difference_update((client, server))

    def _request(self, client: socket.socket, server: socket.socket) -> bool:
        """One request and its answer; False where the connection has ended."""
        head = _head(client)
        if not head:
            return False
        line = head.split(b"\r\n", 1)[0].decode()
        self.requests.append(line)
        self.heads.append(head.decode("latin-1"))
        harm = self.harm if self.harm is not None and re.search(self.harm.on, line) else None
        if harm is not None and len(harm.seen) >= harm.times:
            harm = None
        length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [b"", b"0"])[1])
        waits = re.search(rb"(?i)expect: *100-continue", head) is not None
        if harm is not None:
            harm.seen.append(line)
            time.sleep(harm.delay)
            if harm.silent or harm.answer is not None:
                _keep(client, harm, has_body=not line.startswith("HEAD"))
                return False
        if waits:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        server.sendall(re.sub(rb"(?i)\r\nexpect: *100-continue", b"", head))
        limit = length if harm is None or harm.cut is None else min(length, harm.cut)
        _copy(client, server, limit)
        if harm is not None and harm.cut is not None:
            return False
        answer = _head(server)
        if not answer or (harm is not None and harm.late):
            return False  # a server that ends the connection ends it for the client, too
        client.sendall(answer)
        if not line.startswith("HEAD"):
            _copy(server, client, int((re.search(rb"(?i)content-length: *(\d+)", answer) or [b"", b"0"])[1]))
        return not re.search(rb"(?i)connection: *close", answer)


def _head(source: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = source.recv(1)
        if not piece:
            return b""
        data += piece
    return data


def _copy(source: socket.socket, target: socket.socket, length: int) -> None:
    while length > 0 and (data := source.recv(min(65536, length))):
        target.sendall(data)
        length -= len(data)


def _keep(client: socket.socket, harm: Harm, *, has_body: bool) -> None:
    """Take a request that the server never gets."""
    if harm.answer is not None:
        _refuse(client, *harm.answer, has_body=has_body)
    while harm.silent and client.recv(65536):
        pass


def _refuse(client: socket.socket, status: int, code: str, *, has_body: bool) -> None:
    """Answer in place of the server, and take what is still sent, or the answer would be lost by a reset."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if has_body else b""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    head += "x-amz-bucket-region: eu-west-1\r\n" if status == 301 else ""
    client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
    client.shutdown(socket.SHUT_WR)
    while select.select([client], [], [], 0.5)[0] and client.recv(65536):
        pass
