"""The proxies that are compared, each configured as its users would for speed: kept connections on both sides, round robin over the
same backends, X-Forwarded-For, no log unless the scenario asks for one, one worker unless it asks for more.

A peer is a program, what it can do, and a function that writes its files and returns the command. `Setup` says what is wanted.
"""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from lab import Trouble, free_port, get


@dataclass
class Setup:
    dir: Path
    port: int
    tls_port: int
    admin_port: int
    backends: list
    certificate: Path
    key: Path
    both: Path
    workers: int = 1
    cache: bool = False
    log: bool = False
    filters: bool = False
    routes: int = 0

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def room(self, name):
        path = self.dir / name
        path.mkdir()
        path.chmod(0o777)
        return path


@dataclass
class Peer:
    name: str
    program: str
    version: list
    can: set
    arrange: Callable
    env: dict = field(default_factory=dict)
    remark: str = ""

    def path(self):
        return shutil.which(self.program)

    def says_version(self):
        ran = subprocess.run([self.path(), *self.version], capture_output=True, text=True)
        found = re.search(r"\d+\.\d+[.\d]*", ran.stdout + ran.stderr)
        return found.group().rstrip(".") if found else "?"


ALL = {"proxy", "cache", "tls", "h2", "log", "filters", "backends", "routes", "workers"}


def when(wanted, text):
    return text if wanted else ""


def tidegate(s):
    backends = ", ".join(f'"{address}"' for address in s.backends)
    cache = 'cache = "main"\n' if s.cache else ""
    routes = "".join(f'[[route]]\npath = "/r{n}/*"\npool = "app"\n\n' for n in range(s.routes))
    filters = """
[[route]]
path = "/api/*"
pool = "app"
rewrite = { strip_prefix = "/api" }
request_headers = { set = { x-team = "bench", x-trace = "8f1c2b7e" }, remove = ["user-agent", "x-debug"] }
response_headers = { set = { x-content-type-options = "nosniff", x-frame-options = "DENY" }, remove = ["server"] }
"""
    file = s.write("tidegate.toml", f"""
[server]
workers = {s.workers}
drain_delay = "0s"

[listen.plain]
address = "127.0.0.1:{s.port}"
timeout = {{ idle = "1h" }}
limits = {{ connections = 30000 }}

[listen.secure]
address = "127.0.0.1:{s.tls_port}"
tls = {{ certificates = [{{ certificate = "{s.certificate}", key = "{s.key}" }}] }}
timeout = {{ idle = "1h" }}

[pool.app]
algorithm = "round_robin"
backends = [{backends}]
timeout = {{ idle = "1h" }}
{when(s.cache, '''
[cache.main]
memory = "256MiB"
''')}
[[route]]
pool = "app"
{cache}{when(s.filters, filters)}
{routes}
[admin]
address = "127.0.0.1:{s.admin_port}"

[log]
level = "warn"
{'access_file = "' + str(s.dir / "access.log") + '"' if s.log else 'access = "off"'}
""")
    return ["run", file]


def nginx(s):
    room = "\n  ".join(f"{name}_temp_path {s.dir}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    routes = "\n    ".join(f"location /r{n}/ {{ proxy_pass http://app; }}" for n in range(s.routes))
    filters = """location /api/ {
      proxy_pass http://app/;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Team bench;
      proxy_set_header X-Trace 8f1c2b7e;
      proxy_set_header User-Agent "";
      proxy_set_header X-Debug "";
      add_header X-Content-Type-Options nosniff;
      add_header X-Frame-Options DENY;
      server_tokens off;
    }"""
    file = s.write("nginx.conf", f"""
daemon off;
user root;
worker_processes {s.workers};
worker_rlimit_nofile 30000;
pid {s.dir}/pid;
events {{ worker_connections 24000; }}
http {{
  {room}
  access_log {f"{s.dir}/access.log combined buffer=64k flush=1s" if s.log else "off"};
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_buffer_size 32k;
  sendfile on;
  tcp_nopush on;
  {when(s.cache, f"proxy_cache_path {s.dir}/cache keys_zone=main:16m max_size=256m use_temp_path=off; open_file_cache max=1000;")}
  upstream app {{
    {" ".join(f"server {address};" for address in s.backends)}
    keepalive {max(512, 2 * len(s.backends))};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen 127.0.0.1:{s.port} backlog=4096 reuseport;
    listen 127.0.0.1:{s.tls_port} ssl http2 backlog=4096 reuseport;
    ssl_certificate {s.certificate};
    ssl_certificate_key {s.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_buffer_size 16k;
    proxy_buffers 16 16k;
    proxy_busy_buffers_size 64k;
    {"proxy_cache main; proxy_cache_valid 200 1h;" if s.cache else "proxy_max_temp_file_size 0;"}
    location / {{ proxy_pass http://app; }}
    {when(s.filters, filters)}
    {routes}
  }}
}}
""")
    return ["-e", s.dir / "err", "-c", file]


def haproxy(s):
    # Of a quarter of all descriptors on, it would close connections to backends rather than keep them: with many idle clients all of
    # them, hence the ratios.
    s.write("routes.map", "".join(f"/r{n}/ app\n" for n in range(s.routes)))
    filters = """
  http-request replace-path /api(/.*) \\1
  http-request set-header X-Team bench
  http-request set-header X-Trace 8f1c2b7e
  http-request del-header User-Agent
  http-request del-header X-Debug
  http-response set-header X-Content-Type-Options nosniff
  http-response set-header X-Frame-Options DENY
  http-response del-header Server"""
    servers = "\n".join(f"  server s{n} {address} pool-max-conn -1" for n, address in enumerate(s.backends))
    file = s.write("haproxy.cfg", f"""
global
  nbthread {s.workers}
  maxconn 14000
  no strict-limits
  tune.pool-low-fd-ratio 90
  tune.pool-high-fd-ratio 95
  ssl-default-bind-options ssl-min-ver TLSv1.2
  {when(s.log, "log stdout format raw local0")}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
  option forwardfor
  {when(s.log, "log global")}
  {when(s.log, "option httplog")}
{when(s.cache, '''cache main
  total-max-size 256
  max-object-size 1000000
  max-age 3600''')}
frontend clients
  bind 127.0.0.1:{s.port} backlog 4096
  bind 127.0.0.1:{s.tls_port} backlog 4096 ssl crt {s.both} alpn h2,http/1.1
  {when(s.cache, "http-request cache-use main")}
  {when(s.cache, "http-response cache-store main")}{when(s.filters, filters)}
  {when(s.routes, f"use_backend %[path,map_beg({s.dir}/routes.map,app)]")}
  default_backend app
backend app
  balance roundrobin
{servers}
""")
    return ["-db", "-f", file]


def varnish(s):
    def split(address):
        return address.rsplit(":", 1)

    backends = "\n".join(f'backend b{n} {{ .host = "{split(address)[0]}"; .port = "{split(address)[1]}"; }}'
                         for n, address in enumerate(s.backends))
    file = s.write("site.vcl", f"""vcl 4.1;
import directors;
{backends}
sub vcl_init {{
  new app = directors.round_robin();
  {" ".join(f"app.add_backend(b{n});" for n in range(len(s.backends)))}
}}
sub vcl_recv {{
  set req.backend_hint = app.backend();
  return ({"hash" if s.cache else "pass"});
}}
""")
    parameters = {"thread_pools": s.workers, "thread_pool_min": 500, "timeout_idle": 3600}
    return ["-F", "-f", file, "-a", f"127.0.0.1:{s.port}", "-n", s.dir / "work", "-s", "malloc,256m", "-T", "none", "-j", "none",
            *(word for name, value in parameters.items() for word in ("-p", f"{name}={value}"))]


def caddy(s):
    log = f"""
  log {{
    output file {s.dir}/access.log
  }}"""
    site = f"""
  bind 127.0.0.1{when(s.log, log)}
  reverse_proxy {" ".join(s.backends)} {{
    lb_policy round_robin
    transport http {{
      keepalive_idle_conns 4096
      keepalive_idle_conns_per_host 1024
      compression off
    }}
  }}"""
    file = s.write("Caddyfile", f"""{{
  admin off
  auto_https off
  log default {{
    level ERROR
    exclude http.log.access
  }}
}}
http://:{s.port} {{{site}
}}
https://:{s.tls_port} {{
  tls {s.certificate} {s.key}{site}
}}
""")
    return ["run", "--config", file, "--adapter", "caddyfile"]


def trafficserver(s):
    layout = dict(prefix=s.dir, exec_prefix=s.dir, bindir=s.dir, sbindir=s.dir, sysconfdir=s.dir, datadir=s.dir, includedir=s.dir,
                  libdir=s.dir, libexecdir=s.dir, localstatedir=s.room("run"), runtimedir=s.dir / "run", logdir=s.room("logs"),
                  cachedir=s.room("cache"))
    s.write("runroot.yaml", "".join(f"{name}: {path}\n" for name, path in layout.items()))
    s.write("storage.config", f"{s.dir}/cache 256M\n")
    s.write("remap.config", f"map / http://{s.backends[0]}/\n")
    s.write("ip_allow.yaml", "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n")
    s.write("ssl_multicert.config", f"dest_ip=* ssl_cert_name={s.certificate.name} ssl_key_name={s.key.name}\n")
    settings = {
        "admin.user_id STRING": "#-1",
        "http.server_ports STRING": f"{s.port}:ip-in=127.0.0.1 {s.tls_port}:ip-in=127.0.0.1:ssl",
        "exec_thread.autoconfig INT": 0, "exec_thread.limit INT": s.workers, "accept_threads INT": 0,
        "net.connections_throttle INT": 30000, "net.listen_backlog INT": 4096,
        "log.logging_enabled INT": 0,
        "http.keep_alive_no_activity_timeout_in INT": 3600, "http.keep_alive_no_activity_timeout_out INT": 3600,
        "http.server_session_sharing.pool STRING": "thread", "http.server_session_sharing.match STRING": "both",
        "url_remap.pristine_host_hdr INT": 1, "http.insert_squid_x_forwarded_for INT": 1,
        "http.insert_request_via_str INT": 0, "http.insert_response_via_str INT": 0,
        "http.cache.http INT": int(s.cache), "cache.ram_cache.size INT": 128 << 20,
        "ssl.server.cert.path STRING": s.certificate.parent, "ssl.server.private_key.path STRING": s.key.parent,
        "http2.max_concurrent_streams_in INT": 256,
    }
    s.write("records.config", "".join(f"CONFIG proxy.config.{name} {value}\n" for name, value in settings.items()))
    return [f"--run-root={s.dir}/runroot.yaml"]


def start(lab, peer, scenario):
    """The peer, once it answers as it should."""
    place = lab.scratch / f"{peer.name}-{time.monotonic_ns()}"
    place.mkdir()
    place.chmod(0o777)
    setup = Setup(place, free_port(), free_port(), free_port(), lab.backends.addresses[:scenario.backends],
                  lab.certificate, lab.key, lab.both, workers=scenario.workers, **scenario.setup)
    env = {name: value.format(workers=setup.workers, dir=place) for name, value in peer.env.items()}
    command = [peer.path(), *peer.arrange(setup)]
    process = lab.start(command, cpu=lab.proxy_cpu if lab.pinned else None, log=place / "said", env=env, cwd=place)
    deadline, seen = time.monotonic() + 20, None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            seen = get(setup.port, scenario.path)
            if seen == (200, scenario.content):
                return process, setup
        except OSError as error:
            seen = error
        time.sleep(0.1)
    lab.end(process)
    raise Trouble(f"does not come up ({seen}): {(place / 'said').read_text(errors='replace')[-600:].strip()}")


def peers(tidegate_program):
    return [
        Peer("tidegate", tidegate_program, ["--version"], ALL, tidegate),
        Peer("nginx", "nginx", ["-v"], ALL, nginx, remark="caches in files, which the page cache holds"),
        Peer("haproxy", "haproxy", ["-v"], ALL, haproxy, remark="its access log goes to standard output, which is a file"),
        Peer("varnish", "varnishd", ["-V"], {"proxy", "cache"}, varnish, remark="a thread for each request at work"),
        Peer("caddy", "caddy", ["version"], {"proxy", "tls", "h2", "log", "workers"}, caddy,
             env={"GOMAXPROCS": "{workers}", "HOME": "{dir}", "XDG_DATA_HOME": "{dir}", "XDG_CONFIG_HOME": "{dir}"}),
        Peer("trafficserver", "traffic_server", ["-V"], {"proxy", "cache", "tls", "h2", "workers"}, trafficserver,
             remark="one backend, for it balances only over the addresses of a name"),
    ]
