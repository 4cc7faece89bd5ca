//! Each mistake with the line that is told of it: an edit of the smallest file, and what comes of it.

use super::*;

/// Put this in place of that in `MINIMAL`, and this is told; nothing where the edit is right.
const EDITS: &[(&str, &str, &[&str])] = &[
    (r#""0.0.0.0:8080""#, r#"8080"#, &[r#"3:11: expected an address in quotes such as "127.0.0.1:8080", or a list, found a number"#]),
    (r#""0.0.0.0:8080""#, r#""8080""#, &[r#"3:11: `8080` is not an IP address and a port (write "127.0.0.1:8080" or "0.0.0.0:8080")"#]),
    (
        r#""0.0.0.0:8080""#,
        r#"":8080""#,
        &[r#"3:11: `:8080` is not an IP address and a port (write "0.0.0.0:8080" for all IPv4 addresses, "[::]:8080" for all of IPv6)"#],
    ),
    (r#""0.0.0.0:8080""#, r#""*:8080""#, &[r#"3:11: `*:8080` is not an IP address and a port (write "0.0.0.0:8080")"#]),
    (r#""0.0.0.0:8080""#, r#""::1""#, &[r#"3:11: `::1` is not an IP address and a port (write "[::1]:8080"; the port is missing)"#]),
    (r#""0.0.0.0:8080""#, r#""10.0.0.1""#, &[r#"3:11: `10.0.0.1` is not an IP address and a port (the port is missing: "10.0.0.1:8080")"#]),
    (r#""0.0.0.0:8080""#, r#"[]"#, &[r#"3:11: `address` is empty (write at least one value)"#]),
    (r#""0.0.0.0:8080""#, r#"["127.0.0.1:1", 2]"#, &[r#"3:27: expected an address in quotes such as "127.0.0.1:8080", found a number"#]),
    (
        r#""0.0.0.0:8080""#,
        r#"["127.0.0.1:1", "0.0.0.0:1"]"#,
        &[r#"3:27: listener `web` cannot listen on 0.0.0.0:1: it has 127.0.0.1:1 already (give one of them another port, or take it out)"#],
    ),
    (r#""0.0.0.0:8080""#, r#"["127.0.0.1:0", "127.0.0.1:0", "[::]:1", "0.0.0.0:1"]"#, &[]),
    (
        r#""0.0.0.0:8080""#,
        r#""${PORT}""#,
        &[r#"3:11: the environment variable `PORT` is not set (set it, or give a default: `${PORT:-default}`)"#],
    ),
    (r#""0.0.0.0:8080""#, r#""${SET}:80""#, &[]),
    (
        r#"address = "0.0.0.0:8080""#,
        r#""#,
        &[r#"2:9: listener `web` has no `address` (write where it listens: `address = "0.0.0.0:8080"`)"#],
    ),
    (r#"[listen.web]"#, r#"[listen."a b"]"#, &[r#"2:9: `a b` cannot be a name (a name has 1 to 64 letters, digits, `_`, `-` and `.`)"#]),
    (
        r#"[pool.app]"#,
        r#"trusted_proxies = "10.1.0.0/8"
[pool.app]"#,
        &[r#"5:19: warning: `10.1.0.0/8` has bits beyond its 8 (it is read as "10.0.0.0/8")"#],
    ),
    (
        r#"[pool.app]"#,
        r#"trusted_proxies = ["0.0.0.0/0", "x"]
[pool.app]"#,
        &[
            r#"5:20: warning: `0.0.0.0/0` trusts everybody (any client can then claim any address with X-Forwarded-For; name the networks of your proxies)"#,
            r#"5:33: `x` is not a network (write an address and the bits that count, such as "10.0.0.0/8")"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"timeout = { header = "0s", body = "10", idle = "-1s", write = "never" }
[pool.app]"#,
        &[
            r#"5:22: a duration of zero makes no sense here (the shortest is "1ms")"#,
            r#"5:35: `10` is not a duration (a duration has a unit: "10s" or "10ms")"#,
            r#"5:48: `-1s` is negative (a duration is zero or more)"#,
            r#"5:63: `never` is not a duration (write a number and a unit, such as "500ms", "30s", "1m 30s" or "1h")"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"timeout = { header = "1us", body = "9999h", idle = 1.5 }
[pool.app]"#,
        &[
            r#"5:22: `1us` is too short (the shortest is "1ms")"#,
            r#"5:36: `9999h` is too long (the longest is "8760h", a year)"#,
            r#"5:52: expected a duration in quotes such as "30s", found a number with a fraction"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"limits = { header_bytes = "1B", headers = 1001, body = "10", connections = "many" }
[pool.app]"#,
        &[
            r#"5:27: `header_bytes` cannot be 1B (it wants a size from 1KiB to 1MiB)"#,
            r#"5:43: `headers` cannot be 1001 (it wants a whole number from 1 to 1000)"#,
            r#"5:56: `10` is not a size (a size has a unit: "10B" or "10KiB")"#,
            r#"5:76: expected a whole number from 1 to 1000000, found a string"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"limits = { header_bytes = 32, headers = "100", body = "1.5MiB" }
[pool.app]"#,
        &[
            r#"5:27: expected a size in quotes such as "16KiB", found a number (write "32B" or "32KiB")"#,
            r#"5:41: expected a whole number from 1 to 1000, found a string (write it without the quotes)"#,
            r#"5:55: `1.5MiB` is not a size (write a whole number and a unit, such as "512B", "16KiB", "1MB" or "1GiB")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"health = { path = "healthz", kind = "grpd", every = 5, rise = 0, expect = ["2xx", "399-200", "1000"], start = "off", risee = "a" }
[[route]]"#,
        &[
            r#"9:19: `healthz` is not a path (a path begins with `/`: "/healthz")"#,
            r#"9:37: `grpd` is not one of the words for `kind` (did you mean "grpc"? there are "http", "tcp", "grpc")"#,
            r#"9:53: expected a duration in quotes such as "30s", found a number (write "5s" or "5ms")"#,
            r#"9:63: `rise` cannot be 0 (it wants a whole number from 1 to 100)"#,
            r#"9:76: `2xx` is not a status, nor a range of them (write one from 200 to 599 such as "200", or a range such as "200-399")"#,
            r#"9:83: `399-200` is not a status, nor a range of them (the lower one stands first: "200-399")"#,
            r#"9:94: `1000` is not a status, nor a range of them (write one from 200 to 599 such as "200", or a range such as "200-399")"#,
            r#"9:111: `off` is not one of the words for `start` (there are "wait", "up", "down")"#,
            r#"9:118: unknown key `risee` in `pool.app.health` (did you mean `rise`?)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"health = { kind = "tcp", path = "/", expect = "200" }
[[route]]"#,
        &[
            r#"9:26: a check of kind "tcp" sends no request: `path` has no meaning (take it out, or take `kind` out for an HTTP check)"#,
            r#"9:38: a check of kind "tcp" sends no request: `expect` has no meaning (take it out, or take `kind` out for an HTTP check)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"health = { method = "HEAD", body = "ok", headers = { host = "a", connection = "close", x-ok = "b\u0001" } }
[[route]]"#,
        &[
            r#"9:36: an answer to HEAD has no body (use GET, or take `body` out)"#,
            r#"9:54: `host` is a key of its own (write `host = "..."`)"#,
            r#"9:66: `connection` cannot be set (the prober writes it itself)"#,
            r#"9:95: control characters cannot stand in the value of a header field"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"health = { method = "CONNECT", body = "", host = "a b" }
[[route]]"#,
        &[
            r#"9:21: a probe cannot open a tunnel (for a check that only connects, write `kind = "tcp"`)"#,
            r#"9:39: every body contains nothing (leave `body` out, or write what must be in it)"#,
            r#"9:50: `a b` is not a host (write a name such as "app.example.com")"#,
        ],
    ),
    (r#"[[route]]"#, "health = \"/healthz\"\n[[route]]", &[]),
    (
        r#"[[route]]"#,
        "health = \"/a b\"\n[[route]]",
        &[r#"9:10: `/a b` cannot be asked for (blanks, `#` and letters beyond ASCII stand percent-encoded in a path: "%20")"#],
    ),
    (r#"[[route]]"#, "health = true\n[[route]]", &[r#"9:10: expected a table, or its `path` alone, found a boolean"#]),
    (
        r#"[[route]]"#,
        r#"eject = { errors = 0, on = ["5xx", "4xx", "200", "connnect", "429-503"], max = 50, base = "0s" }
[[route]]"#,
        &[
            r#"9:20: `errors` cannot be 0 (it wants a whole number from 1 to 1000, or "off")"#,
            r#"9:36: `4xx` is not an error that can eject (there are "connect", "reset", "timeout", "malformed", "5xx", and statuses such as "503")"#,
            r#"9:43: `200` is no error of a backend (statuses from 400 up can be)"#,
            r#"9:50: `connnect` is not an error that can eject (there are "connect", "reset", "timeout", "malformed", "5xx", and statuses such as "503")"#,
            r#"9:80: expected a share in quotes such as "20%", found a number (write "50%")"#,
            r#"9:91: a duration of zero makes no sense here (the shortest is "1ms")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"eject = { errors = "off", max = "0%", base = "10s" }
when_all_down = "open"
[[route]]"#,
        &[
            r#"9:27: warning: `max` has no effect while `errors` is "off""#,
            r#"9:33: `max` cannot be 0% (for no ejection at all, write `errors = "off"`)"#,
            r#"9:39: warning: `base` has no effect while `errors` is "off""#,
            r#"10:17: `open` is not one of the words for `when_all_down` (there are "fail_open", "fail")"#,
        ],
    ),
    (r#"[[route]]"#, "eject = { max = \"101%\" }\n[[route]]", &[r#"9:17: `101%` is more than all (a share is at most "100%")"#]),
    (
        r#"[pool.app]"#,
        r#"tls = { certificates = [] }
proxy_protocol = "x"
[pool.app]"#,
        &[
            r#"5:9: `tls` has no certificates (write `certificates = [{ certificate = "site.pem", key = "site.key" }]`)"#,
            r#"6:18: `x` is not a network (write an address and the bits that count, such as "10.0.0.0/8")"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"[server]
workers = 0
drain_delay = 5
[pool.app]"#,
        &[
            r#"6:11: `workers` cannot be 0 (it wants a whole number from 1 to 1024, or "auto")"#,
            r#"7:15: expected a duration in quotes such as "30s", found a number (write "5s" or "5ms")"#,
        ],
    ),
    (
        r#"[pool.app]"#,
        r#"[server]
workers = "all"
[pool.app]"#,
        &[r#"6:11: expected a whole number from 1 to 1024, or "auto", found a string"#],
    ),
    (
        r#"[pool.app]"#,
        r#"[server]
workers = "${N:-3}"
drain_delay = "0s"
[pool.app]"#,
        &[],
    ),
    (
        r#"[pool.app]"#,
        r#"[server]
workers = "${N:-x}"
[pool.app]"#,
        &[r#"6:11: `workers` cannot be x (it wants a whole number from 1 to 1024, or "auto")"#],
    ),
    (
        r#"least_connections"#,
        r#"least-conns"#,
        &[
            r#"6:13: `least-conns` is not one of the words for `algorithm` (there are "round_robin", "weighted_round_robin", "random", "p2c", "least_connections", "least_time", "peak_ewma", "ip_hash", "consistent_hash", "maglev", "rendezvous", "first")"#,
        ],
    ),
    (
        r#"least_connections"#,
        r#"fastest"#,
        &[
            r#"6:13: `fastest` is not one of the words for `algorithm` (there are "round_robin", "weighted_round_robin", "random", "p2c", "least_connections", "least_time", "peak_ewma", "ip_hash", "consistent_hash", "maglev", "rendezvous", "first")"#,
        ],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#""10.0.0.1:8080""#,
        &[r#"7:30: pool `app` has 10.0.0.1:8080 twice (take one out; a larger share is a `weight`)"#],
    ),
    (r#""10.0.0.2:8080""#, r#""10.0.0.1:0""#, &[r#"7:30: a backend cannot have port 0 (write the port that it listens on)"#]),
    (
        r#""10.0.0.2:8080""#,
        r#""0.0.0.0:80""#,
        &[r#"7:30: `0.0.0.0` is every address of a machine, not one to connect to (for this machine, write "127.0.0.1:80")"#],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#""api.internal:80""#,
        &[r#"7:30: `api.internal:80` is a name, not an address (write `{ dns = "api.internal:80" }`)"#],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#""http://10.0.0.1""#,
        &[r#"7:30: `http://10.0.0.1` is not an IP address and a port (leave the scheme and the path out: "10.0.0.1:8080")"#],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#""unix:run/api.sock""#,
        &[r#"7:30: `unix:run/api.sock` is not a Unix socket (its path begins with `/`: "unix:/run/api.sock")"#],
    ),
    (r#""10.0.0.2:8080""#, r#"80"#, &[r#"7:30: expected an address in quotes such as "127.0.0.1:8080", found a number"#]),
    (
        r#""10.0.0.2:8080""#,
        r#"{}"#,
        &[r#"7:30: a backend has no `address` (write `{ address = "10.0.0.1:8080" }` or `{ dns = "app.internal:8080" }`)"#],
    ),
    (
        "[pool.app]",
        "[pool.app]\nsticky = { cookie = \"a b\" }",
        &["6:21: `a b` cannot be the name of a cookie (letters, digits, `-` and `_`)"],
    ),
    (
        "[pool.app]",
        "[pool.app]\nsticky = { secret_file = \"sticky.key\" }",
        &[
            "6:26: `secret_file`: `sticky.key` cannot be read: there is no such file (the path is relative to the directory of the configuration)",
        ],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#"{ dns = "a:1", address = "10.0.0.2:80" }"#,
        &["7:32: a backend has either an `address` or a `dns` name (make two entries of it, or take one out)"],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#"{ dns = "a:1" }, { dns = "A:1" }"#,
        &["7:55: pool `app` has dns a:1 twice (take one out; a larger share is a `weight`)"],
    ),
    (r#""10.0.0.2:8080""#, r#"{ dns = "a" }"#, &[r#"7:38: `a` is not a DNS name and a port (the port is missing: "a:8080")"#]),
    (
        r#""10.0.0.2:8080""#,
        r#"{ dns = "10.0.0.2:80" }"#,
        &["7:38: `10.0.0.2:80` is an address, not a name (an address has its own key: `address`)"],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#"{ dns = "_http._tcp.a:80" }"#,
        &[r#"7:38: `_http._tcp.a:80` is not a DNS name and a port (SRV records have ports of their own: "_http._tcp.a")"#],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#"{ address = "10.0.0.2:80", weight = -1, backup = true }"#,
        &[r#"7:66: `weight` cannot be -1 (it wants a whole number from 0 to 1000000)"#],
    ),
    (r#""10.0.0.2:8080""#, r#"{ address = "10.0.0.2:80", backup = true }"#, &[]),
    (
        r#""10.0.0.2:8080""#,
        r#"{ address = "10.0.0.2:80", backup = "true" }"#,
        &[r#"7:66: expected true or false, found a string (write it without the quotes)"#],
    ),
    (
        r#"["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"[{ address = "10.0.0.1:80", backup = true }]"#,
        &[
            r#"5:7: warning: every backend of pool `app` is a backup (there is nobody whom they could stand in for: they are used as if none were)"#,
        ],
    ),
    (
        r#"least_connections""#,
        r#"p2c"
hash = { on = "path", bound = 1.25 }"#,
        &[r#"7:1: warning: `p2c` ignores `hash` ("consistent_hash", "maglev" and "rendezvous" go by it)"#],
    ),
    (
        r#"least_connections""#,
        r#"maglev"
hash = { on = "header:X-User", bound = 2 }
slow_start = "30s""#,
        &[],
    ),
    (
        r#"least_connections""#,
        r#"ip_hash"
hash = { on = "path" }"#,
        &[
            r#"7:15: warning: `ip_hash` hashes the client's address, not `path` (`algorithm = "rendezvous"` is the same over what `hash.on` says)"#,
        ],
    ),
    (
        r#"least_connections""#,
        r#"rendezvous"
hash = { on = "header", bound = 0.5 }"#,
        &[
            r#"7:15: `header` cannot be hashed (the name is missing: "header:session")"#,
            r#"7:33: `bound` cannot be 0.5 (it wants a number from 1 to 100)"#,
        ],
    ),
    (
        r#"least_connections""#,
        r#"rendezvous"
hash = { on = "cookies:a", bound = "1.25" }"#,
        &[
            r#"7:15: `cookies:a` cannot be hashed (did you mean "cookie:NAME"? there are "uri", "path", "client_ip", "header:NAME", "cookie:NAME", "query:NAME")"#,
            r#"7:36: expected a number from 1 to 100, found a string (write it without the quotes)"#,
        ],
    ),
    (
        r#"least_connections"
backends = ["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"consistent_hash"
backends = [{ address = "10.0.0.1:80", weight = 30_000 }, "10.0.0.2:80"]"#,
        &[
            r#"6:1: the ring of pool `app` would have 4800160 points, 160 for each unit of weight; 4194304 (32 MiB) are allowed (write smaller weights (3 and 1 for 3000 and 1001), or use "rendezvous" or "maglev")"#,
        ],
    ),
    (
        r#"least_connections"
backends = ["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"first"
backends = [{ address = "10.0.0.1:80", weight = 3 }, "10.0.0.2:80"]"#,
        &[r#"7:49: warning: `first` ignores weights (it fills one backend after the other, in the order of the list)"#],
    ),
    (
        r#""10.0.0.2:8080""#,
        r#""127.0.0.1:8080""#,
        &[
            r#"7:30: warning: backend 127.0.0.1:8080 of pool `app` is this proxy itself: listener `web` (a request that comes round to the same route never ends)"#,
        ],
    ),
    (
        r#"["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"[]"#,
        &[r#"7:1: pool `app` has no backends (write at least one: `backends = ["10.0.0.1:8080"]`)"#],
    ),
    (
        r#"["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#""10.0.0.1:8080""#,
        &[r#"7:12: expected a list such as ["10.0.0.1:8080"], found a string"#],
    ),
    (
        r#"["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"[{ address = "10.0.0.1:80", weight = 0 }]"#,
        &[
            r#"5:7: every backend of pool `app` has weight 0 (a backend of weight 0 takes no new requests; give at least one a weight of 1 or more)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"health = { kind = "grpc", service = "a", path = "/x" }
[[route]]"#,
        &[
            r#"9:19: a check of kind "grpc" speaks HTTP/2 (write `protocol = "http2"` in the pool)"#,
            r#"9:42: a check of kind "grpc" has a request of its own: `path` has no meaning (take it out, or take `kind` out for an HTTP check)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"protocol = "http3"
[[route]]"#,
        &[r#"9:12: `http3` is not one of the words for `protocol` (did you mean "http1"? there are "http1", "http2")"#],
    ),
    (
        r#"[[route]]"#,
        r#"protocol = "http2"
send_proxy_protocol = "v2"
[[route]]"#,
        &[
            r#"10:1: connections of HTTP/2 are shared by clients, so they cannot begin with the address of one (take it out, or write `protocol = "http1"`: X-Forwarded-For names the client either way)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"timeout = { total = "0s", connect = "none" }
[[route]]"#,
        &[
            r#"9:21: a duration of zero makes no sense here (write "none" for no limit)"#,
            r#"9:37: `none` is not a duration (write a number and a unit, such as "500ms", "30s", "1m 30s" or "1h")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"retry = { tries = 0, on = ["conect", "504", "504", 5], budget = "20", try_timeout = "none", backoff = "0s" }
queue = { max = 0, wait = "0s" }
[[route]]"#,
        &[
            r#"9:19: `tries` cannot be 0 (it wants a whole number from 1 to 10)"#,
            r#"9:28: `conect` is not one of the words for `on` (did you mean "connect"? there are "connect", "reset", "timeout", "500", "502", "503", "504")"#,
            r#"9:45: warning: `504` stands twice"#,
            r#"9:52: expected one of "connect", "reset", "timeout", "500", "502", "503", "504", found a number"#,
            r#"9:65: `20` is not a share (write "20%")"#,
            r#"9:85: `none` is not a duration (write a number and a unit, such as "500ms", "30s", "1m 30s" or "1h")"#,
            r#"10:1: nobody can wait in the queue of pool `app`: no backend is ever full (give its backends a `max_requests`: `{ address = "10.0.0.1:8080", max_requests = 100 }`)"#,
            r#"10:17: `max` cannot be 0 (it wants a whole number from 1 to 1000000)"#,
            r#"10:27: a duration of zero makes no sense here (the shortest is "1ms")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"retry = { tries = 1, budget = "101%" }
[[route]]"#,
        &[
            r#"9:22: warning: this has no effect while `tries` is 1 (2 makes one more try)"#,
            r#"9:31: `101%` is more than all (a share is at most "100%")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"queue = {}
[[route]]"#,
        &[
            r#"9:1: nobody can wait in the queue of pool `app`: no backend is ever full (give its backends a `max_requests`: `{ address = "10.0.0.1:8080", max_requests = 100 }`)"#,
        ],
    ),
    (
        r#"["10.0.0.1:8080", "10.0.0.2:8080"]"#,
        r#"["10.0.0.1:8080", { address = "10.0.0.2:8080", max_requests = 5 }]
queue = { wait = "1s" }"#,
        &[r#"7:13: warning: backend 10.0.0.1:8080 has no `max_requests`: while it is up, nobody waits in the queue"#],
    ),
    (
        r#"[[route]]"#,
        r#"[pool.spare]
backends = ["10.0.0.1:1"]
[[route]]"#,
        &[r#"9:7: warning: no route uses pool `spare` (add a route with `pool = "spare"`, or take the pool out)"#],
    ),
    (
        r#"pool = "app""#,
        r#""#,
        &[r#"9:1: the route does nothing (give it one of `pool = "..."`, `redirect = { to = "..." }` and `respond = { status = ... }`)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
redirect = { to = "/" }"#,
        &[r#"11:1: a route has either `pool` or `redirect`, not both (make two routes of it, or take one out)"#],
    ),
    (r#"pool = "app""#, r#"pool = "appp""#, &[r#"10:8: there is no pool `appp` (did you mean `app`?)"#]),
    (r#"pool = "app""#, r#"pool = "shop""#, &[r#"10:8: there is no pool `shop` (there is `app`)"#]),
    (
        r#"pool = "app""#,
        r#"pool = "app"
listen = ["wep", "other"]"#,
        &[r#"11:11: there is no listener `wep` (did you mean `web`?)"#, r#"11:18: there is no listener `other` (there is `web`)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
host = ["*", "a.*.com", "a:80", "http://a", "::1", "bücher.example", "a..b", "[x]"]"#,
        &[
            r#"11:9: `*` is not a host (leave `host` out to match every host)"#,
            r#"11:14: `a.*.com` is not a host (a `*` stands for whole labels at the front only: "*.example.com")"#,
            r#"11:25: `a:80` is not a host (ports are not looked at: "a")"#,
            r#"11:33: `http://a` is not a host (a host has no scheme and no path; the path has its own key: `path`)"#,
            r#"11:45: `::1` is not a host (an IPv6 address stands in brackets: "[::1]")"#,
            r#"11:52: `bücher.example` is not a host (write the name as it is sent, in Punycode: "xn--...")"#,
            r#"11:70: `a..b` is not a host (write a name such as "example.com" or "*.example.com")"#,
            r#"11:78: `[x]` is not a host (an IPv6 address stands in brackets: "[2001:db8::1]")"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
host = ["A.Example.", "*.B.example", "[2001:DB8::0:1]", "a_b"]"#,
        &[],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
path = ["*", "api", "/api*", "/a/*/b", "/a?b", "/a/../b", "/a/%2e%2E/b", "/%00", "/%5c", "/%zz", "/a#b", "http://a/b"]"#,
        &[
            r#"11:9: `*` is not a path (leave `path` out to match every path)"#,
            r#"11:14: `api` is not a path (a path begins with `/`: "/api")"#,
            r#"11:21: a `*` may only stand at the end of a path, behind a `/` (a path is exact, or a prefix of whole segments: "/api/*")"#,
            r#"11:30: a `*` may only stand at the end of a path, behind a `/` (a path is exact, or a prefix of whole segments: "/a/*")"#,
            r#"11:40: `/a?b` is not a path (a path has no query; the query has its own key: `query = { name = "value" }`)"#,
            r#"11:48: `/a/../b` is not a path (requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused)"#,
            r#"11:59: `/a/%2e%2E/b` is not a path (requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused)"#,
            r#"11:74: `/%00` is not a path (requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused)"#,
            r#"11:82: `/%5c` is not a path (requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused)"#,
            r#"11:90: `/%zz` is not a path (requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused)"#,
            r#"11:98: `/a#b` is not a path (blanks, `#` and control characters stand percent-encoded in a path: "%20")"#,
            r#"11:106: `http://a/b` is not a path (a path has no scheme and no host; the host has its own key: `host`)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
method = ["get", "G T", "GET", "GET", "purge"]"#,
        &[
            r#"11:11: `get` is not a method (methods are case-sensitive: "GET")"#,
            r#"11:18: `G T` is not a method (write a method such as "GET", or leave `method` out to match every method)"#,
            r#"11:32: warning: `GET` is there already"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
header = { Host = "a", "x y" = "b", cookie = "c", x-a = 1, x-b = " b" }"#,
        &[
            r#"11:12: the host has its own key (write `host = "example.com"`)"#,
            r#"11:24: `x y` is not the name of a header field"#,
            r#"11:37: cookies have their own key (write `cookie = { name = "value" }`)"#,
            r#"11:57: expected a string, found a number"#,
            r#"11:66: a blank at either end of a header field's value would be lost (take it off)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
header = { x-a = "1", X-A = "2" }"#,
        &[r#"11:23: `X-A` stands twice; all must hold, so nothing could match"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
query = { "" = "1" }
cookie = { "a=b" = "1" }"#,
        &[r#"11:11: a query parameter has a name"#, r#"12:12: `a=b` is not the name of a cookie"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
priority = 3000000000"#,
        &[r#"11:12: `priority` cannot be 3000000000 (it wants a whole number from -2147483648 to 2147483647)"#],
    ),
    (
        r#"pool = "app""#,
        r#"redirect = { to = "example.com" }"#,
        &[
            r#"10:19: `example.com` cannot be redirected to (write an absolute URL such as "https://example.com/new/", or a path that begins with `/`)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"redirect = { to = "/a b", status = 305 }"#,
        &[
            r#"10:19: `/a b` cannot be redirected to (blanks, control characters and letters beyond ASCII stand percent-encoded in a URL: "%20")"#,
            r#"10:36: 305 is not the status of a redirect (there are 301 and 308 (for good), 302 and 307 (for now), 303 (see other); 307 and 308 keep the method)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"redirect = { status = 200 }"#,
        &[
            r#"10:1: the redirect has no `to` (write where to: `redirect = { to = "https://example.com/new/" }`)"#,
            r#"10:23: `status` cannot be 200 (it wants a whole number from 301 to 308)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"redirect = "/new""#,
        &[r#"10:12: `redirect` is a table (write `redirect = { to = "https://example.com/new/", status = 308 }`)"#],
    ),
    (r#"pool = "app""#, r#"respond = { status = 99 }"#, &[r#"10:22: `status` cannot be 99 (it wants a whole number from 200 to 599)"#]),
    (
        r#"pool = "app""#,
        r#"respond = { status = 204, body = "x", content_type = "a\nb" }"#,
        &[
            r#"10:27: an answer with status 204 has no body (take `body` out, or choose another status)"#,
            r#"10:54: control characters cannot stand in the value of a header field"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"respond = {}
timeout = { total = "1s" }
rewrite = { strip_prefix = "/a" }"#,
        &[
            r#"5:7: warning: no route uses pool `app` (add a route with `pool = "app"`, or take the pool out)"#,
            r#"11:1: warning: `timeout` has no effect: the route answers without a backend (take it out)"#,
            r#"12:1: warning: `rewrite` has no effect: the route answers without a backend (take it out)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
rewrite = { strip_prefix = "api/" }"#,
        &[r#"11:28: `api/` is not a path (a path begins with `/`: "/api")"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
rewrite = { strip_prefix = "/api/" }"#,
        &[r#"11:28: `/api/` ends in `/` (write "/api"; it is taken off at a segment boundary)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
rewrite = { strip_prefix = "/api/*" }"#,
        &[r#"11:28: `/api/*` has a `*` (write "/api")"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
path = "/web/*"
rewrite = { strip_prefix = "/api" }"#,
        &[r#"12:28: warning: no path of this route begins with `/api`: there is nothing to strip (`path = "/api/*"` would)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
request_headers = { set = { "Transfer-Encoding" = "x", a = "b\u0000" }, remove = ["host", "a:"] }"#,
        &[
            r#"11:29: `Transfer-Encoding` cannot be edited (it belongs to one connection or frames the message; the proxy writes it itself)"#,
            r#"11:60: control characters cannot stand in the value of a header field"#,
            r#"11:83: `Host` cannot be in `remove` (a request has exactly one; it can be `set`)"#,
            r#"11:91: `a:` is not the name of a header field (letters, digits and `-`, without the colon)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
response_headers = { set = { a = "1" }, add = { A = "2" }, remove = ["a"], replace = {} }"#,
        &[
            r#"11:70: `a` is in `remove` and in `set` (one of the two is enough: `set` replaces what was there)"#,
            r#"11:76: unknown key `replace` in `route.response_headers` (there are `set`, `add`, `remove`)"#,
        ],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
cache = "main""#,
        &[r#"11:9: there is no cache `main` (add a `[cache.main]`)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
backend = ["10.0.0.1:80"]"#,
        &[r#"11:1: unknown key `backend` in `route` (did you mean `backends`? It belongs under `[pool.NAME]`)"#],
    ),
    (
        r#"pool = "app""#,
        r#"pool = "app"
name = "x"
[[route]]
name = "x"
pool = "app"
path = "/x""#,
        &[r#"13:8: two routes are called `x` (logs and metrics tell routes apart by their names)"#],
    ),
    (r#"[[route]]"#, r#"[route]"#, &[r#"9:2: `route` is a list of tables (write `[[route]]`, in double brackets)"#]),
    (r#"[listen.web]"#, r#"[[listen]]"#, &[r#"2:1: `listen` is not a table of tables (each one has a name: `[listen.web]`)"#]),
    (
        r#"[pool.app]"#,
        r#"[[pool.app]]"#,
        &[
            r#"5:8: `pool.app` is one table, not a list (write `[pool.app]`, in single brackets)"#,
            r#"10:8: there is no pool `app` (add a `[pool.app]`)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[cache.main]
hottest = "hot.txt"
[cache.other]
hottest = "./hot.txt.new"
warm = "hot.txt"
[[route]]
host = "a.example"
pool = "app"
cache = "other"
[[route]]
cache = "main""#,
        &[
            r#"9:8: cache `main` would write its `hottest` over the list of a `warm` (name another file in `hottest`)"#,
            r#"11:8: cache `other` writes its `hottest` where another one does (name another file in `hottest`)"#,
            r#"13:8: warning: `warm`: `hot.txt` cannot be read: there is no such file (it is read again at the next start; until then nothing is fetched from it)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[cache.main]
memory = "1GiB"
max_object = "1GiB"
[[route]]
cache = { use = "mian", default_ttl_by_status = { 99 = "1s", 404 = "x" }, vary_by = "uri", ignore_query = ["a=b"] }"#,
        &[
            r#"9:8: warning: no route uses cache `main` (write `cache = "main"` in the routes whose answers are to be kept)"#,
            r#"11:14: `max_object` of 1GiB is too large for a memory of 1GiB (it can be a quarter of `memory` at most: "256MiB")"#,
            r#"13:17: there is no cache `mian` (did you mean `main`?)"#,
            r#"13:51: `99` is not a status, nor a range of them (write one from 200 to 599 such as "200", or a range such as "200-399")"#,
            r#"13:68: `x` is not a duration (write a number and a unit, such as "500ms", "30s", "1m 30s" or "1h")"#,
            r#"13:85: answers cannot be told apart by `uri` (write "header:NAME" or "cookie:NAME"; the URL counts anyway)"#,
            r#"13:108: `a=b` is not the name of a parameter (write a name, or its beginning with `*` behind: "utm_*")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[admin]
address = "0.0.0.0:8080"
[[route]]"#,
        &[
            r#"10:11: the admin listener cannot listen on 0.0.0.0:8080: listener `web` has 0.0.0.0:8080 already (give one of them another port, or take it out)"#,
            r#"10:11: warning: the admin listener on 0.0.0.0:8080 can be reached from other machines (it has no password; "127.0.0.1:9900" keeps it to this machine)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[admin]
hosts = ["*.svc", "127.0.0.1", "a:80"]
[[route]]"#,
        &[
            r#"10:10: `*.svc` is not the name of a host (write each name whole: "tidegate.monitoring.svc")"#,
            r#"10:19: `127.0.0.1` is not the name of a host (addresses need not be listed; take it out)"#,
            r#"10:32: `a:80` is not a host (ports are not looked at: "a")"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[log]
access = "jsn"
level = "verbose"
access_file = ""
[[route]]"#,
        &[
            r#"10:10: `jsn` is not one of the words for `access` (did you mean "json"? there are "json", "combined", "off")"#,
            r#"11:9: `verbose` is not one of the words for `level` (there are "error", "warn", "info", "debug", "trace")"#,
            r#"12:15: the path of the access log is empty (leave `access_file` out for standard output)"#,
        ],
    ),
    (
        r#"[[route]]"#,
        r#"[log]
access = "off"
access_file = "a.log"
[[route]]"#,
        &[r#"11:15: warning: `access_file` has no effect while `access` is "off""#],
    ),
    (
        r#"[[route]]"#,
        r#"[metrics]
[[route]]"#,
        &[r#"9:2: unknown key `metrics` at the top of the file (there are `server`, `listen`, `pool`, `route`, `admin`, `log`, `cache`)"#],
    ),
    (
        r#"[[route]]"#,
        r#"[sever]
[[route]]"#,
        &[r#"9:2: unknown key `sever` at the top of the file (did you mean `server`?)"#],
    ),
    (
        r#"algorithm ="#,
        r#"algorithm = "p2c"
algorithm ="#,
        &[r#"7:1: duplicate key"#],
    ),
];

#[test]
fn every_mistake_has_its_place_and_its_help() {
    for (from, to, expected) in EDITS {
        assert_eq!(told(&edited(from, to)), *expected, "{to}");
    }
}
