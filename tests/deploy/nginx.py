"""nginx with the very lines of docs/install.md, in front of a sidecar and a Medusa."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.embedded.processes import HOST, await_ready, end, free_port, give, scratch, server_account, spawn
from tests.deploy.pgbouncer import needed

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = "127.0.0.1:9100"
"""Where the page has the sidecar."""


class Nginx(msgspec.Struct, frozen=True):
    """Ports of HOST."""

    plain: int
    tls: int

    @property
    def http(self) -> str:
        return f"http://{HOST}:{self.plain}"

    @property
    def https(self) -> str:
        return f"https://{HOST}:{self.tls}"


def documented_lines() -> tuple[str, str]:
    """What docs/install.md says for the ``server``, and its ``location``."""
    text = (ROOT / "docs" / "install.md").read_text()
    [server] = re.findall(r"`(client_header_timeout [^`]+;)`\s+in its `server`", text)
    [location] = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    return server, location


@contextmanager
def running_nginx(*, medusa: str, sidecar: str) -> Iterator[Nginx]:
    """The proxy of a shop that caches what its Medusa says, in front of two ``host:port``."""
    program, account = needed("nginx"), server_account()
    ports = Nginx(free_port(), free_port())
    held = scratch("nginx", account)
    home = held.directory
    (home / "cert.pem").write_text(_self_signed())
    (home / "nginx.conf").write_text(_configuration(home, ports, medusa, sidecar))
    for path in (home, *home.iterdir()):
        give(path, account)
    log = home / "error.log"
    argv = [program, "-p", str(home), "-e", "stderr", "-c", str(home / "nginx.conf")]
    child = spawn(argv, account=account, log=log, on_our_death=signal.SIGKILL)
    try:
        await_ready(child, lambda: _listens(ports.tls), name="nginx", log=log)
        yield ports
    finally:
        end(child, signal.SIGINT, signal.SIGTERM)
        held.release(remove=True)


def _configuration(home: Path, ports: Nginx, medusa: str, sidecar: str) -> str:
    server, location = documented_lines()
    assert location.count(UPSTREAM) == 1
    kept = "\n".join(
        f"{name}_temp_path {home}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  {kept}
  proxy_cache_path {home}/cache keys_zone=shop:1m;
  server {{
    listen {HOST}:{ports.plain};
    listen {HOST}:{ports.tls} ssl;
    ssl_certificate {home}/cert.pem;
    ssl_certificate_key {home}/cert.pem;
    proxy_cache shop;
    proxy_cache_valid any 10m;
    {server}
    {location.replace(UPSTREAM, sidecar)}
    location / {{
      proxy_pass http://{medusa};
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


def _self_signed() -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (certificate.public_bytes(Encoding.PEM) + private).decode()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
