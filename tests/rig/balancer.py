"""nginx and haproxy as processes of a test, by the samples in etc/ with nothing changed but addresses, ports and paths
(and, for who is not root, haproxy's change of user).

They end TLS, with a certificate of their own, which this process believes in meanwhile: `tls_url`. `url` is one more port
without TLS, because the blocking client of `websockets` reads and writes one TLS connection at once, which hangs now and then
(2 of 1,200 without any balancer). `document` is nginx by the sample of Mattermost's document on high availability, without TLS.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import requests

from tests.rig.directories import new_directory
from tests.rig.ports import free_port
from tests.rig.wait import until

_ETC = Path(__file__).parents[2] / "etc"
# What /etc/nginx/nginx.conf has around a file of conf.d, for a process without rights.
_NGINX = """
worker_processes 1; daemon off; pid {d}/nginx.pid; error_log {d}/err.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log {d}/access.log;
    client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4;
    scgi_temp_path {d}/t5;
    include {d}/site.conf;
}}
"""


_DOCUMENT = """
upstream backend {{
    {servers}
}}
server {{
    listen 127.0.0.1:{port};
    server_name mattermost.example.com;
    location / {{
        client_max_body_size 50M;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Frame-Options SAMEORIGIN;
        proxy_pass http://backend;
    }}
}}
"""
# The certificates that `requests` believes in, and those of every other TLS client in Python.
_BELIEVED = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the sample"
    return text.replace(old, new)


class Balancer:
    """Either of them in front of nodes. Use as a context manager.

    nodes: their URLs. patience_s: how long a node may take for an answer; 40 in the samples.
    """

    def __init__(self, name: str, nodes: Sequence[str], patience_s: int = 40) -> None:
        self.name = name
        self._patience_s = patience_s
        self._nodes = [url.removeprefix("http://") for url in nodes]
        self.directory = new_directory()
        self.port, self.tls_port, self.redirecting_port = free_port(), free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}"
        self._before: dict[str, str | None] = {}
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> "Balancer":
        certificate = self._certificate()
        for variable in _BELIEVED:
            self._before[variable] = os.environ.get(variable)
            os.environ[variable] = str(certificate)
        command = {"nginx": self._nginx, "haproxy": self._haproxy, "document": self._document}[self.name]()
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        until(self._serves, 10, f"{self.name} to serve:\n{self.log}")
        return self

    def _certificate(self) -> Path:
        """Its certificate and its key, as two files and as one."""
        key, certificate = self.directory / "mattermost.key", self.directory / "mattermost.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        (self.directory / "both.pem").write_text(certificate.read_text() + key.read_text())
        return certificate

    def _nginx(self) -> list[str]:
        text = self._with_nodes(_ETC / "nginx.conf")
        text = _once(text, "listen 80;", f"listen 127.0.0.1:{self.redirecting_port};")
        text = _once(text, "listen 443 ssl;", f"listen 127.0.0.1:{self.tls_port} ssl; listen 127.0.0.1:{self.port};")
        text = _once(text, "/etc/nginx/mattermost.pem", f"{self.directory}/mattermost.pem")
        text = _once(text, "/etc/nginx/mattermost.key", f"{self.directory}/mattermost.key")
        text = _once(text, "proxy_read_timeout 40s", f"proxy_read_timeout {self._patience_s}s")
        return self._nginx_with(text.replace("/var/log/nginx/", f"{self.directory}/"))

    def _document(self) -> list[str]:
        servers = " ".join(f"server {node};" for node in self._nodes)
        return self._nginx_with(_DOCUMENT.format(servers=servers, port=self.port))

    def _nginx_with(self, text: str) -> list[str]:
        (self.directory / "site.conf").write_text(text)
        (self.directory / "nginx.conf").write_text(_NGINX.format(d=self.directory))
        program = shutil.which("nginx") or "nginx"
        return [program, "-e", f"{self.directory}/err.log", "-p", str(self.directory), "-c", "nginx.conf"]

    def _haproxy(self) -> list[str]:
        text = self._with_nodes(_ETC / "haproxy.cfg")
        text = _once(text, "bind :80\n", f"bind 127.0.0.1:{self.redirecting_port}\n    bind 127.0.0.1:{self.port}\n")
        text = _once(text, "bind :443 ssl", f"bind 127.0.0.1:{self.tls_port} ssl")
        text = _once(text, "unless { ssl_fc }", f"unless {{ ssl_fc }} or {{ dst_port {self.port} }}")
        text = _once(text, "/etc/haproxy/mattermost.pem", f"{self.directory}/both.pem")
        text = _once(text, "timeout server 40s", f"timeout server {self._patience_s}s")
        if os.geteuid() != 0:  # who cannot change to another user
            text = re.sub(r"^    (user|group|chroot) .*\n", "", text, flags=re.MULTILINE)
        (self.directory / "haproxy.cfg").write_text(text)
        return [shutil.which("haproxy") or "haproxy", "-db", "-f", str(self.directory / "haproxy.cfg")]

    def _with_nodes(self, sample: Path) -> str:
        text = sample.read_text()
        named = list(dict.fromkeys(re.findall(r"10\.10\.10\.\d:8065", text)))
        for name, node in zip(named, self._nodes, strict=True):
            text = text.replace(name, node)
        return text

    def _serves(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            return requests.get(f"{self.url}/api/v4/system/ping", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said."""
        logs = [self.directory / name for name in ("log", "err.log")]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in logs if path.exists())

    @property
    def access_log(self) -> str:
        """What it has logged of requests."""
        return (self.directory / ("mattermost.log" if self.name == "nginx" else "log")).read_text()

    def __exit__(self, *_: object) -> None:
        for variable, value in self._before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)
