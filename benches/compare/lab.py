"""The bench: what is started and ended, on which CPU, what it costs, and the backends that count what reaches them."""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

BODY = "x" * 1024
FILES = {"/64k": 64 << 10, "/10m": 10 << 20}
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """Something can not be measured; it says what."""


@dataclass
class Lab:
    scratch: Path
    proxy_cpu: int
    load_cpu: int
    pace: str = ""
    started: list = field(default_factory=list)
    certificate: Path = None
    key: Path = None
    both: Path = None
    backends: "Backends" = None
    pinned: bool = True

    def pin(self, pinned):
        """Whether from now on the proxy has a core for itself, and what loads it another. Else all of it may run anywhere."""
        self.pinned = pinned
        os.sched_setaffinity(self.backends.process.pid, {self.load_cpu} if pinned else range(os.cpu_count()))

    def start(self, command, *, cpu=None, log, env=None, cwd=None):
        """Runs a program on that CPU, or on any; it ends with us, whatever becomes of us."""

        def before():
            # Not in our process group: Ctrl-C is for us, and we end what we started in order.
            os.setsid()
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        with open(log, "ab") as out:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       preexec_fn=before, env=os.environ | (env or {}), cwd=cwd or self.scratch)
        self.started.append(process)
        return process

    def end(self, process):
        """The process and all that it started itself, by their ids."""
        if process not in self.started:
            return
        self.started.remove(process)
        if process.poll() is not None:
            return
        tree = family(process.pid)
        send(tree, signal.SIGCONT)
        send([process.pid], signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        send(tree if process.poll() is None else tree[1:], signal.SIGKILL)
        process.wait()

    def end_all(self):
        for process in reversed(list(self.started)):
            self.end(process)

    def load(self, command, seconds, env=None):
        """Runs a load generator to its end and returns what it said."""
        def before():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if self.pinned:
                os.sched_setaffinity(0, {self.load_cpu})

        try:
            ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds + 40,
                                 preexec_fn=before, env=os.environ | (env or {}))
        except subprocess.TimeoutExpired:
            raise Trouble(f"{command[0]} does not end") from None
        return ran.stdout + ran.stderr

    def make_certificate(self):
        self.certificate, self.key, self.both = (self.scratch / name for name in ("site.pem", "site.key", "both.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
                        "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test", "-keyout", self.key, "-out",
                        self.certificate], check=True, capture_output=True)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())
        for file in (self.key, self.both):
            # Some peers read it as another user; it is worth nothing.
            file.chmod(0o644)


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def family(pid):
    """A process and its descendants."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid):
    """CPU time of a process and its descendants, from their CPU clocks: to the nanosecond, threads that have ended included."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            # The id of a process's clock, as clock_getcpuclockid(3) makes it.
            total += time.clock_gettime_ns(~one << 3 | 2)
    return total / 1e9


def memory_bytes(pid):
    """What a process and its descendants hold, shared pages divided among who shares them."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1)) << 10
    return total


def frozen(pid, is_frozen):
    """Who is not measured stands still, so that its timers take nothing from who is."""
    send(family(pid), signal.SIGSTOP if is_frozen else signal.SIGCONT)


NEXT_PORT = 10_000 + os.getpid() % 500 * 20


def free_port():
    """Where nobody listens, below the range that the kernel gives to outgoing connections."""
    global NEXT_PORT
    while True:
        NEXT_PORT = NEXT_PORT + 1 if NEXT_PORT < 30_000 else 10_000
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", NEXT_PORT)):
                return NEXT_PORT


def get(port, path):
    """One GET: its status and how much content came."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n".encode())
        read = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = read.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d+)", head)
    if b"chunked" in head.lower():
        body = b"".join(chunk for chunk in re.split(rb"(?:^|\r\n)[0-9a-fA-F]+\r\n", body))
    return int(status.group(1)) if status else 0, len(body)


class Backends:
    """nginx on addresses of their own, one process: it answers as cheaply as it can, and counts."""

    def __init__(self, lab, count):
        self.lab = lab
        self.port, self.status_port = free_port(), free_port()
        self.addresses = [f"127.1.{n >> 8}.{n & 255}:{self.port}" for n in range(1, count + 1)]
        root = lab.scratch / "www"
        root.mkdir()
        for name, size in FILES.items():
            (root / name[1:]).write_bytes(b"x" * size)
        for directory in (lab.scratch, root):
            directory.chmod(0o755)
        file = lab.scratch / "backends.conf"
        file.write_text(self.configuration(root))
        self.process = lab.start(["nginx", "-e", lab.scratch / "backends.err", "-c", file], cpu=lab.load_cpu,
                                 log=lab.scratch / "backends.log")
        deadline = time.monotonic() + 10
        while True:
            try:
                self.count_requests()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise Trouble("the backends do not start: " + (lab.scratch / "backends.err").read_text()) from None
                time.sleep(0.05)

    def configuration(self, root):
        listens = "\n    ".join(f"listen {address} backlog=4096;" for address in self.addresses)
        scratch = "\n  ".join(f"{name}_temp_path {self.lab.scratch}/backends-{name};"
                              for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""
daemon off;
master_process off;
pid {self.lab.scratch}/backends.pid;
worker_rlimit_nofile 30000;
events {{ worker_connections 24000; multi_accept on; }}
http {{
  access_log off;
  {scratch}
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  client_body_buffer_size 64k;
  default_type text/plain;
  etag off;
  server {{
    {listens}
    root {root};
    add_header Cache-Control "public, max-age=3600";
    location = /1k {{ return 200 "{BODY}"; }}
    location /r {{ return 200 "{BODY}"; }}
    location = /post {{ return 200 "ok"; }}
  }}
  server {{
    listen 127.0.0.1:{self.status_port};
    location / {{ stub_status; }}
  }}
}}
"""

    def count_requests(self):
        """Requests of others than this one so far."""
        with socket.create_connection(("127.0.0.1", self.status_port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            page = b"".join(iter(lambda: connection.recv(4096), b""))
        self.asked = getattr(self, "asked", 0) + 1
        return int(re.search(rb"\n +\d+ +\d+ +(\d+)", page).group(1)) - self.asked


PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "varnishd": "varnish", "caddy": "caddy", "traffic_server": "trafficserver",
            "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"}


def install(programs):
    """Debian's packages of programs that are not here; what can not be had is reported, not fatal."""
    # Debian keeps servers where only root's PATH looks.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [PACKAGES[program] for program in programs if not shutil.which(program)]
    if not missing or os.geteuid() or not shutil.which("apt-get"):
        return
    print(f"installing {' '.join(missing)}", flush=True)
    # A package that starts its service at installation must not: each is started here, with its own configuration.
    policy = Path("/usr/sbin/policy-rc.d")
    if ours := not policy.exists():
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        quiet["env"] = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        for package in missing:
            subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], **quiet)
    finally:
        if ours:
            policy.unlink()


@contextlib.contextmanager
def scratch():
    """A directory that goes when we do, and room for many sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = Path(tempfile.mkdtemp(prefix="tidegate-compare-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def machine():
    def first(pattern, file):
        found = re.search(pattern, Path(file).read_text(), re.M)
        return found.group(1).strip() if found else "unknown"

    virtual = ", virtual" if " hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    memory = int(first(r"MemTotal:\s+(\d+)", "/proc/meminfo")) / (1 << 20)
    return (f"{os.cpu_count()} x {first(r'model name.*: (.*)', '/proc/cpuinfo')}{virtual}, {memory:.0f} GiB of memory, Linux "
            f"{os.uname().release}, {first(r'PRETTY_NAME=.(.*?).$', '/etc/os-release')}, load average at the start "
            f"{os.getloadavg()[0]:.2f}")
