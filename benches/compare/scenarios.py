"""What is measured: each scenario is a configuration, a load, and the number by which peers are compared."""

import contextlib
import json
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab import BODY, FILES, Trouble, memory_bytes

HERE = Path(__file__).resolve().parent


@dataclass
class Scenario:
    name: str
    title: str
    needs: str = "proxy"
    path: str = "/1k"
    connections: int = 64
    load: str = "wrk"
    tls: bool = False
    close: bool = False
    post: int = 0
    rate: int = 0
    per_connection: int = 0
    idle: int = 0
    backends: int = 3
    workers: int = 1
    setup: dict = field(default_factory=dict)
    measure: str = "cpu"

    @property
    def cached(self):
        return self.setup.get("cache", False)

    @property
    def content(self):
        """Bytes in each answer."""
        return FILES.get(self.path, 2 if self.post else len(BODY))


@dataclass
class Measure:
    """What peers are compared by. `key`: in a result."""
    key: str
    unit: str
    lower_is_better: bool = True


MEASURES = {
    "cpu": Measure("cpu_us", "CPU µs per request"),
    "bulk": Measure("mb_per_cpu_s", "MB per CPU second", lower_is_better=False),
    "handshakes": Measure("per_cpu_s", "handshakes per CPU second", lower_is_better=False),
    "memory": Measure("bytes_per_connection", "bytes per idle connection"),
    "latency": Measure("p99_us", "µs to the answer, p99"),
}

BACKEND_COUNTS = (1, 10, 100, 1_000)
ROUTE_COUNTS = (1, 10, 100, 1_000, 10_000)

SCENARIOS = {scenario.name: scenario for scenario in [
    Scenario("get1k-c64", "GET 1 KiB, 64 connections"),
    Scenario("get1k-c400", "GET 1 KiB, 400 connections", connections=400),
    Scenario("get64k", "GET 64 KiB", path="/64k"),
    Scenario("get10m", "GET 10 MiB, 4 connections", path="/10m", connections=4, measure="bulk"),
    Scenario("post16k", "POST of 16 KiB", path="/post", post=16 << 10),
    Scenario("post1m", "POST of 1 MiB, 8 connections", path="/post", post=1 << 20, connections=8),
    Scenario("close1k", "GET 1 KiB, a new connection for each", close=True),
    Scenario("tls1k", "GET 1 KiB over TLS", "tls", tls=True),
    Scenario("h2", "GET 1 KiB over HTTP/2 and TLS, 16 connections of 32 streams", "h2", tls=True, load="h2load", connections=16),
    Scenario("handshake", "full TLS handshakes, one request each", "tls", tls=True, load="s_time", connections=4, measure="handshakes"),
    Scenario("cache1k", "cache hit, 1 KiB", "cache", setup={"cache": True}),
    Scenario("cache64k", "cache hit, 64 KiB", "cache", path="/64k", setup={"cache": True}),
    Scenario("idle", "memory of 5,000 idle connections", load="hold", idle=5_000, measure="memory"),
    Scenario("idle10k", "memory of 10,000 idle connections", load="hold", idle=10_000, measure="memory"),
    Scenario("get1k-idle10k", "GET 1 KiB beside 10,000 idle connections", idle=10_000),
    Scenario("rate", "4,000 requests a second, whatever becomes of the answers", load="pace", rate=4_000, measure="latency"),
    Scenario("churn", "1,500 connections a second of one request each, closed by the client", load="pace", rate=1_500, per_connection=1),
    Scenario("log", "GET 1 KiB with the access log on", "log", setup={"log": True}),
    Scenario("filters", "GET 1 KiB with path and fields rewritten", "filters", path="/api/1k", setup={"filters": True}),
    Scenario("get1k-2w", "GET 1 KiB, two workers, nothing pinned", "workers", workers=2),
    Scenario("cache1k-2w", "cache hit, 1 KiB, two workers, nothing pinned", "cache", workers=2, setup={"cache": True}),
    *(Scenario(f"backends-{n}", f"GET 1 KiB, {n:,} backends", "backends", backends=n) for n in BACKEND_COUNTS),
    *(Scenario(f"routes-{n}", f"GET 1 KiB, {n:,} routes", "routes", path=f"/r{n - 1}/1k", setup={"routes": n}) for n in ROUTE_COUNTS),
]}

GROUPS = {
    "quick": ["get1k-c64", "cache1k"],
    "readme": ["get1k-c64", "get1k-c400", "get64k", "get10m", "post16k", "close1k", "tls1k", "h2", "handshake", "cache1k", "cache64k", "idle"],
    "latency": ["rate", "churn"],
    "features": ["log", "filters", "post1m", "get1k-idle10k", "idle10k"],
    "scale": [name for name in SCENARIOS if name.startswith(("backends-", "routes-")) or name.endswith("-2w")] + ["get1k-c64"],
    "all": list(SCENARIOS),
}


def run(scenario, lab, port, tls_port, pid, seconds):
    """One run of a scenario's load: requests, seconds, errors and what else the tool says."""
    return LOADS[scenario.load](scenario, lab, tls_port if scenario.tls else port, pid, seconds)


def wrk(s, lab, port, _, seconds):
    command = ["wrk", "-t1", f"-c{s.connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "wrk.lua", "-H", "Host: bench.test"]
    if s.close:
        command += ["-H", "Connection: close"]
    said = lab.load([*command, f"{'https' if s.tls else 'http'}://127.0.0.1:{port}{s.path}"], seconds, {"POST_BYTES": str(s.post)})
    found = re.search(r"^JSON (.*)$", said, re.M)
    if not found:
        raise Trouble(f"wrk said: {said[-300:]}")
    return json.loads(found.group(1))


def h2load(s, lab, port, _, seconds):
    said = lab.load(["h2load", f"-c{s.connections}", "-m32", "-D", seconds, f"https://127.0.0.1:{port}{s.path}"], seconds)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    took = re.search(r"finished in ([\d.]+)(ms|s),", said)
    content = re.search(r"\((\d+)\) data", said)
    if not counts or not took or "Application protocol: h2" not in said:
        raise Trouble(f"h2load said: {said[-300:]}")
    succeeded, failed, errored = map(int, counts.groups())
    return {"requests": succeeded, "errors": failed + errored, "seconds": float(took.group(1)) / (1000 if took.group(2) == "ms" else 1),
            "bytes": int(content.group(1)) if content else 0}


def s_time(s, lab, port, _, seconds):
    """openssl s_time never resumes a session with -new. Several beside each other, for each does one handshake after the other."""
    one = f"openssl s_time -connect 127.0.0.1:{port} -new -www {s.path} -time {seconds}"
    began = time.monotonic()
    said = lab.load(["sh", "-c", " & ".join([one] * s.connections) + " & wait"], seconds)
    counts = [int(count) for count in re.findall(r"(\d+) connections in \d+ real seconds", said)]
    bytes_each = [int(count) for count in re.findall(r"(\d+) bytes read per connection", said)]
    return {"requests": sum(counts), "seconds": time.monotonic() - began, "errors": s.connections - len(counts),
            "bytes": sum(count * each for count, each in zip(counts, bytes_each))}


def pace(s, lab, port, _, seconds):
    said = lab.load([lab.pace, f"127.0.0.1:{port}", s.path, s.rate, s.connections, seconds, s.per_connection], seconds)
    if not said.startswith("{"):
        raise Trouble(f"pace said: {said[-300:]}")
    return json.loads(said)


def hold(s, lab, port, pid, _):
    before, began = memory_bytes(pid), time.monotonic()
    with held(s, port):
        took = time.monotonic() - began
        time.sleep(2)
        each = (memory_bytes(pid) - before) / s.idle
    return {"requests": s.idle, "seconds": took, "errors": 0, "bytes": s.idle * s.content, "bytes_per_connection": each}


@contextlib.contextmanager
def held(s, port):
    """Connections that have had an answer and wait."""
    open_now = []
    ask = f"GET {s.path} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode()
    try:
        for _ in range(s.idle):
            open_now.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            open_now[-1].sendall(ask)
            read = b""
            while not read.endswith(BODY.encode()):
                if not (piece := open_now[-1].recv(4096)):
                    raise Trouble(f"connection {len(open_now)} of {s.idle} was closed")
                read += piece
        yield
    except OSError as error:
        raise Trouble(f"connection {len(open_now)} of {s.idle}: {error}") from error
    finally:
        for connection in open_now:
            connection.close()


LOADS = {"wrk": wrk, "h2load": h2load, "s_time": s_time, "pace": pace, "hold": hold}


def objections(s, result, at_backends):
    """Why a result means nothing: answers that were not what was asked for, or did not come from where they should."""
    requests, errors = result["requests"], result["errors"]
    if not requests:
        return ["no answer"]
    found = []
    if errors > requests // 1000:
        found.append(f"{errors} errors in {requests} requests")
    if result.get("bytes", 0) < requests * s.content * 0.99 and s.load != "s_time":
        found.append(f"answers of {result.get('bytes', 0) // requests} bytes in place of {s.content}")
    # Load generators end with requests under way: those reach a backend and are not counted as answered.
    under_way = s.connections * (32 if s.load == "h2load" else 1)
    if s.cached and at_backends > 10:
        found.append(f"{at_backends} of {requests} went to the backends")
    if not s.cached and not requests <= at_backends <= requests + under_way + errors + requests // 1000:
        found.append(f"{at_backends} of {requests} went to the backends")
    return found
