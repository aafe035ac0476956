"""Pure: the same processes as other service managers want them written. Nothing is installed.

Each takes settings that were already loaded and checked, so that ports, addresses and paths are those that
`algo up` would use.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brokers.errors import SettingsError
from gateway.settings import Settings
from historify.paths import is_server
from supervisor import services

ROLES = ("api", "feed")
IMAGE = "algo-gateways:latest"
HOME_INSIDE = "/algo"
UNIT = """\
# Written by `algo export systemd`; settings stay in {env}.
[Unit]
Description=algo: {title} ({name})
After=network-online.target{after}
Wants=network-online.target{wants}
StartLimitIntervalSec=120
StartLimitBurst=8

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} --home {home} run {words}
WorkingDirectory={folder}
User={user}
Restart=on-failure
RestartSec=1
# wrong settings, port taken: a restart cannot mend them
RestartPreventExitStatus=2 3
TimeoutStartSec=90
TimeoutStopSec=15
WatchdogSec=15
KillMode=mixed
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=true
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writable}
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=true
SystemCallArchitectures=native
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""
CONTAINERFILE = """\
# Written by `algo export compose`. Build it in the project's folder:
#   docker build -t {image} -f Containerfile .
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 algo && mkdir {home} && chown algo {home}
WORKDIR /opt/algo
COPY scripts/locks scripts/locks
RUN pip install --no-cache-dir --require-hashes -r scripts/locks/build.txt -r scripts/locks/app.txt
COPY pyproject.toml README.md ./
COPY brokers brokers
COPY gateway gateway
COPY historify historify
COPY supervisor supervisor
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER algo
ENV ALGO_HOME={home}
ENTRYPOINT ["algo"]
"""


TITLES = {
    "api": "orders, REST and pages",
    "feed": "market data",
    "historify": "the market-data store's puller",
}


def systemd(instances: Sequence[Settings], program: Path, user: str) -> dict[str, str]:
    """A unit per process: file name -> text.

    The feed starts after its api and is not stopped with it; each is restarted alone, and so are the services
    all instances share.
    """
    units = {}
    for one in instances:
        for role in ROLES:
            needs = f" algo-{one.name}-api.service" if role == "feed" else ""
            what = (role, one.name, f"{one.name} {role}", str(one.env_path))
            units[f"algo-{one.name}-{role}.service"] = _unit(instances, program, user, what, needs)
    for spec in services.alone(instances):
        what = (spec.role, spec.key, spec.key, f"the env files of {instances[0].env_path.parent}")
        units[f"algo-{spec.key}.service"] = _unit(instances, program, user, what, "")
    return units


def _unit(
    instances: Sequence[Settings], program: Path, user: str, what: tuple[str, str, str, str], needs: str
) -> str:
    role, name, words, settings = what
    home = instances[0].home
    store = services.store_of(instances)
    beside = [] if is_server(store) or Path(store).is_relative_to(home) else [Path(store).parent]
    return UNIT.format(
        env=settings,
        title=TITLES.get(role, role),
        name=name,
        words=words,
        program=_systemd_word(program),
        home=_systemd_word(home),
        writable=" ".join(_systemd_word(path) for path in (home, *beside)),
        folder=str(home).replace("%", "%%"),
        user=user,
        after=needs,
        wants=needs,
    )


def _systemd_word(path: Path) -> str:
    """Systemd expands ``%`` and splits at blanks."""
    text = str(path).replace("%", "%%")
    return '"' + text.replace('"', '\\"') + '"' if " " in text else text


def compose(instances: Sequence[Settings], home: Path) -> dict[str, str]:
    """``compose.yaml`` (JSON, which is YAML) and its ``Containerfile``.

    Each instance has its own network and so its own way out: give it the address its broker knows. Its feed
    shares the api's network, because they talk over loopback. On the host only loopback is published; a
    strategy container in the instance's network reaches the API as ``http://<instance>:<port>``. What all
    share (the market-data store's puller) stands in every network and reaches each instance the same way.
    """
    found: dict[str, object] = {}
    for one in instances:
        host = f"{one.name}-api"
        ports = (one.port, one.ws_port, one.zmq_port)
        found[host] = {
            **_service(one, "api", home),
            "networks": {one.name: {"aliases": [one.name]}},
            "ports": [f"127.0.0.1:{port}:{port}" for port in ports],
            "healthcheck": _health(one.port),
        }
        found[f"{one.name}-feed"] = {
            **_service(one, "feed", home),
            "network_mode": f"service:{host}",
            "depends_on": {host: {"condition": "service_healthy"}},
            "healthcheck": _health(one.ws_port),
        }
    for spec in services.alone(instances):
        found[spec.key] = {
            **_common(["run", spec.key, "--by-name"], home),
            "networks": {one.name: {} for one in instances},
            "healthcheck": _health(spec.ports[0].port),
        }
    plain = {"name": "algo", "services": found, "networks": {one.name: {} for one in instances}}
    return {
        "compose.yaml": "# Written by `algo export compose`\n" + json.dumps(plain, indent=2) + "\n",
        "Containerfile": CONTAINERFILE.format(image=IMAGE, home=HOME_INSIDE),
    }


def _service(one: Settings, role: str, home: Path) -> dict[str, object]:
    names = [word for name in (one.name, f"{one.name}-api") for word in ("--allow-host", name)]
    return _common(["run", one.name, role, "--bind", "0.0.0.0", *names], home)


def _common(command: list[str], home: Path) -> dict[str, object]:
    return {
        "image": IMAGE,
        "build": {"context": ".", "dockerfile": "Containerfile"},
        "command": command,
        "volumes": [f"{home}:{HOME_INSIDE}"],
        "restart": "on-failure",
        "stop_grace_period": "15s",
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _health(port: int) -> dict[str, object]:
    look = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/health/live', timeout=3)"
    return {
        "test": ["CMD", "python", "-c", look],
        "interval": "10s",
        "timeout": "5s",
        "retries": 3,
        "start_period": "60s",
    }


@dataclass(frozen=True, slots=True)
class Site:
    """One instance behind nginx.

    Attributes:
        domain: Name the outside uses; also a ``Host`` the instance must allow (``ALLOWED_HOSTS``).
        users: htpasswd file for everything but the API and webhooks, which have their own keys; empty: none.
        narrow: Only ``/api/v1`` and the webhooks are served; no pages.
    """

    one: Settings
    domain: str
    certificate: str
    key: str
    users: str = ""
    narrow: bool = False


def nginx(sites: Sequence[Site]) -> dict[str, str]:
    """``algo.conf`` for ``http { include …; }``.

    Raises:
        SettingsError: An instance would refuse its own domain.
    """
    for site in sites:
        if site.domain not in site.one.allowed_hosts:
            raise SettingsError(
                f"{site.one.env_path.name} does not allow {site.domain}; add ALLOWED_HOSTS={site.domain} "
                f"and HOST_SERVER=https://{site.domain} there"
            )
    head = "# Written by `algo export nginx`; include it inside http {}.\n" + (
        "map $http_upgrade $algo_connection { default upgrade; '' ''; }\n"
    )
    return {"algo.conf": head + "\n".join(_server(site) for site in sites)}


def _server(site: Site) -> str:
    one = site.one
    web, stream = f"127.0.0.1:{one.port}", f"127.0.0.1:{one.ws_port}"
    guard = ""
    if site.users:
        guard = f'        auth_basic "algo {one.name}"; auth_basic_user_file {site.users};\n'
    places = [
        _location("/api/v1/", web, ""),
        _location("/strategy/webhook/", web, ""),
        _location("/chartink/webhook/", web, ""),
    ]
    if not site.narrow:
        places += [
            "    location ~ ^/(internal|metrics|health)(/|$) { return 404; }\n",
            _location("/socket.io/", web, guard, upgrade=True),
            _location("/ws", stream, guard, upgrade=True, rewrite="/"),
            _location("/", web, guard),
        ]
    else:
        places.append("    location / { return 404; }\n")
    return (
        f"server {{\n    listen 443 ssl;\n    server_name {site.domain};\n"
        f"    ssl_certificate {site.certificate};\n    ssl_certificate_key {site.key};\n"
        "    ssl_protocols TLSv1.2 TLSv1.3;\n    client_max_body_size 1m;\n"
        f"{''.join(places)}}}\n"
    )


def _location(path: str, goal: str, guard: str, *, upgrade: bool = False, rewrite: str = "") -> str:
    lines = [
        f"    location {path} {{\n{guard}        proxy_pass http://{goal}{rewrite};\n",
        "        proxy_http_version 1.1;\n        proxy_set_header Host $host;\n",
        "        proxy_set_header X-Forwarded-For $remote_addr;\n",
        "        proxy_set_header X-Forwarded-Proto $scheme;\n",
    ]
    if upgrade:
        lines += [
            "        proxy_set_header Upgrade $http_upgrade;\n",
            "        proxy_set_header Connection $algo_connection;\n        proxy_read_timeout 1h;\n",
        ]
    return "".join(lines) + "    }\n"
