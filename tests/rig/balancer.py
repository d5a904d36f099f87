"""nginx and haproxy as processes of a test, by the samples in etc/ with nothing changed but addresses and ports.

`document` is nginx by the sample of Mattermost's document on high availability.
"""

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


class Balancer:
    """Either of them in front of nodes. Use as a context manager. nodes: their URLs."""

    def __init__(self, name: str, nodes: Sequence[str]) -> None:
        self.name = name
        self._nodes = [url.removeprefix("http://") for url in nodes]
        self.directory = new_directory()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> "Balancer":
        command = {"nginx": self._nginx, "haproxy": self._haproxy, "document": self._document}[self.name]()
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        until(self._serves, 10, f"{self.name} to serve:\n{self.log}")
        return self

    def _nginx(self) -> list[str]:
        text = self._with_nodes(_ETC / "nginx.conf").replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        return self._nginx_with(text)

    def _document(self) -> list[str]:
        servers = " ".join(f"server {node};" for node in self._nodes)
        return self._nginx_with(_DOCUMENT.format(servers=servers, port=self.port))

    def _nginx_with(self, text: str) -> list[str]:
        (self.directory / "site.conf").write_text(text)
        (self.directory / "nginx.conf").write_text(_NGINX.format(d=self.directory))
        program = shutil.which("nginx") or "nginx"
        return [program, "-e", f"{self.directory}/err.log", "-p", str(self.directory), "-c", "nginx.conf"]

    def _haproxy(self) -> list[str]:
        text = self._with_nodes(_ETC / "haproxy.cfg").replace("bind :80\n", f"bind 127.0.0.1:{self.port}\n")
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
    def log(self) -> str:
        """What it has said."""
        logs = [self.directory / name for name in ("log", "err.log")]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in logs if path.exists())

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)
