mod arbitrary;
mod mistakes;
mod rendered;
mod routes;

use std::time::Duration;

use super::model::*;
use super::*;

/// The smallest file that works; tests put their own lines behind or in place of it.
const MINIMAL: &str = r#"
[listen.web]
address = "0.0.0.0:8080"

[pool.app]
algorithm = "least_connections"
backends = ["10.0.0.1:8080", "10.0.0.2:8080"]

[[route]]
pool = "app"
"#;

fn parse_pure(text: &str) -> Result<(Config, Warnings), Report> {
    parse_with(text, "tidegate.toml", &|_| None)
}

#[test]
fn eight_lines_work_and_the_rest_has_defaults() {
    let (config, warnings) = parse_pure(MINIMAL).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let seconds = Duration::from_secs;
    assert_eq!((config.server.drain_delay, config.server.drain_timeout), (seconds(3), seconds(30)));
    assert!(config.server.workers >= 1);
    let listener = Listener {
        name: "web".into(),
        addresses: vec!["0.0.0.0:8080".parse().unwrap()],
        socket_mode: None,
        trusted_proxies: vec![],
        proxy_protocol: vec![],
        http2: true,
        timeout: ListenTimeouts { header: seconds(10), body: seconds(30), idle: seconds(75), write: seconds(30) },
        limits: ListenLimits {
            header_bytes: 32 << 10,
            headers: 100,
            body: Some(256 << 20),
            connections: 10_000,
            connections_per_address: None,
            body_rate: 240,
        },
        tls: None,
        redirect_https: None,
    };
    assert_eq!(config.listeners, [listener]);
    let backend = |address: &str| BackendSpec {
        address: BackendAddress::Fixed(address.parse().unwrap()),
        weight: 1,
        max_requests: None,
        backup: false,
    };
    let timeout = PoolTimeouts {
        connect: seconds(1),
        first_byte: seconds(30),
        stall: seconds(30),
        tunnel: seconds(3600),
        idle: seconds(15),
        total: None,
    };
    let pool = Pool {
        protocol: Protocol::Http1,
        name: "app".into(),
        algorithm: Algorithm::LeastConnections,
        hash: Hashing { on: HashOn::Uri, bound: None },
        slow_start: None,
        backends: vec![backend("10.0.0.1:8080"), backend("10.0.0.2:8080")],
        tls: None,
        sticky: None,
        timeout,
        idle_connections: 256,
        retry: Retry {
            tries: 2,
            on: vec![Reason::Connect, Reason::Reset, Reason::Timeout],
            budget_percent: 20,
            try_timeout: None,
            backoff: Duration::from_millis(25),
        },
        queue: None,
        health: None,
        eject: Some(Eject {
            errors: 5,
            base: seconds(10),
            max_percent: 50,
            on: Faults { connect: true, reset: true, timeout: true, malformed: true, statuses: vec![] },
        }),
        when_all_down: WhenAllDown::FailOpen,
        send_proxy_protocol: None,
    };
    assert_eq!(config.pools, [pool]);
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].name, "/*");
    assert_eq!(config.routes[0].paths, [PathPattern::Prefix(String::new())]);
    assert_eq!(config.routes[0].action, Action::Pool("app".into()));
    assert_eq!(config.admin, None);
    assert_eq!(config.log, Log { access: AccessFormat::Json, access_file: None, level: Level::Info });
}

#[test]
fn maglev_says_when_its_table_is_too_coarse() {
    for (backends, expected) in [
        (655, None),
        (656, Some("6:1: warning: with 656 backends, the shares of `maglev` are more than 1 % off: each has some 99 slots")),
        (65_538, Some("6:1: pool `app` has 65538 backends; the table of `maglev` has 65537 slots")),
    ] {
        let list: Vec<String> = (0..backends).map(|n| format!("\"10.{}.{}.{}:80\"", n >> 16, n >> 8 & 255, n & 255)).collect();
        let text = edited("least_connections", "maglev").replace("\"10.0.0.1:8080\", \"10.0.0.2:8080\"", &list.join(", "));
        let told = told(&text);
        assert_eq!(told.first().map(|line| line.split(" (").next().unwrap()), expected, "{told:?}");
    }
}

#[test]
fn every_algorithm_takes_every_file() {
    let text = MINIMAL.replace("\"10.0.0.2:8080\"", "{ address = \"10.0.0.2:80\", weight = 3, backup = true }");
    for word in Algorithm::WORDS {
        for hash in ["", "hash = { on = \"cookie:a\", bound = 1.25 }", "hash = { bound = 3 }", "slow_start = \"1m\""] {
            let text = text.replace("algorithm = \"least_connections\"", &format!("algorithm = \"{word}\"\n{hash}"));
            assert!(parse_pure(&text).is_ok(), "{word} with {hash}");
        }
    }
}

#[test]
fn a_check_has_defaults_and_a_short_form() {
    let health = |keys: &str| {
        let text = MINIMAL.replace("[[route]]", &format!("{keys}\n[[route]]"));
        let (config, warnings) = parse_pure(&text).unwrap_or_else(|report| panic!("{report}"));
        assert!(warnings.is_empty(), "{warnings}");
        config.pools[0].health.clone().unwrap()
    };
    let seconds = Duration::from_secs;
    let expected = Health {
        protocol: Protocol::Http1,
        probe: Probe::Http {
            method: "GET".into(),
            path: "/healthz".into(),
            host: None,
            headers: vec![],
            expect: vec![Statuses { first: 200, last: 399 }],
            body: None,
        },
        every: seconds(5),
        timeout: seconds(1),
        rise: 2,
        fall: 3,
        start: Start::Wait,
        send_proxy_protocol: None,
    };
    assert_eq!(health("health = \"/healthz\""), expected);
    assert_eq!(health("health = { path = \"/healthz\" }"), expected);
    assert_eq!(health("[pool.app.health]\npath = \"/healthz\""), expected);
    assert_eq!(health("health = { kind = \"tcp\", start = \"down\" }"), Health { probe: Probe::Tcp, start: Start::Down, ..expected });
    let asked = health("health = { method = \"HEAD\", host = \"a:80\", headers = { x-a = \"1\" }, expect = [\"200\", \"300-302\"] }");
    let Probe::Http { method, path, host, headers, expect, body } = asked.probe else { panic!("{asked:?}") };
    assert_eq!((method.as_str(), path.as_str(), host.as_deref(), body), ("HEAD", "/", Some("a:80"), None));
    assert_eq!(headers, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(expect, [Statuses { first: 200, last: 200 }, Statuses { first: 300, last: 302 }]);
}

#[test]
fn ejection_can_be_tuned_and_turned_off() {
    let eject = |keys: &str| {
        let text = MINIMAL.replace("[[route]]", &format!("{keys}\n[[route]]"));
        parse_pure(&text).unwrap_or_else(|report| panic!("{report}")).0.pools[0].eject.clone()
    };
    assert_eq!(eject("eject = { errors = \"off\" }"), None);
    let tuned = eject("eject = { errors = 2, base = \"1s\", max = \"10%\", on = [\"connect\", \"5xx\", \"429\"] }").unwrap();
    assert_eq!((tuned.errors, tuned.base, tuned.max_percent), (2, Duration::from_secs(1), 10));
    let statuses = vec![Statuses { first: 500, last: 599 }, Statuses { first: 429, last: 429 }];
    assert_eq!(tuned.on, Faults { connect: true, reset: false, timeout: false, malformed: false, statuses });
}

/// The repository's `config/` directory.
fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

#[test]
fn every_example_loads_without_a_word() {
    let mut count = 0;
    // The certificates that an example names are whoever copies it has.
    let made = rcgen::generate_simple_self_signed(vec!["example.com".to_owned()]).unwrap();
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let files = |_: &Path| Ok(pem.clone().into_bytes());
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = read(&path).unwrap();
            let (_, warnings) =
                parse_reading(&text, "example", &|_| None, &files, None).unwrap_or_else(|report| panic!("{}:\n{report}", path.display()));
            assert!(warnings.is_empty(), "{}:\n{warnings}", path.display());
            count += 1;
        }
    }
    assert!(count >= 4);
}

#[test]
fn the_committed_schema_and_reference_are_current() {
    for (file, current, command) in [
        ("schema.json", schema(), "tidegate schema > config/schema.json"),
        ("REFERENCE.md", reference(), "tidegate schema --reference > config/REFERENCE.md"),
    ] {
        let committed = std::fs::read_to_string(examples().join(file)).unwrap_or_default();
        assert!(committed == current, "config/{file} is out of date; run: {command}");
    }
}

/// Every table of the file as its header opens it, for the place names of `keys::walk`.
fn opened(place: &str) -> String {
    let mut text = String::new();
    let mut keys = keys::FILE;
    let mut so_far = String::new();
    let mut parts = place.split('.').filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        if !so_far.is_empty() {
            so_far += ".";
        }
        so_far += part;
        let kind = keys.iter().find(|key| key.name == part).unwrap().kind;
        match kind {
            keys::Kind::Named(inner) => {
                so_far += ".";
                so_far += parts.next().unwrap();
                text += &format!("[{so_far}]\n");
                keys = inner;
            }
            keys::Kind::Table(inner) | keys::Kind::Short(inner) => {
                text += &format!("[{so_far}]\n");
                keys = inner;
            }
            keys::Kind::Repeated(inner) | keys::Kind::Entries(inner) => {
                text += &format!("[[{so_far}]]\n");
                keys = inner;
            }
            _ => panic!("{place} is not a table"),
        }
    }
    text
}

#[test]
fn every_key_is_read() {
    let mut count = 0;
    keys::walk(keys::FILE, "", &mut |place, key| {
        count += 1;
        let before = format!("{}{} = ", opened(place), key.name);
        // A date is no value of any key: whoever reads the key must say so.
        let report = parse_pure(&format!("{before}1979-05-27")).unwrap_err();
        let told = report.problems().iter().any(|problem| match problem.span() {
            Some(span) => span.start >= before.len() - key.name.len() - 3 && problem.severity() == Severity::Error,
            None => false,
        });
        assert!(told, "`{}` of `{place}` is in the table of keys, but nobody reads it:\n{report}", key.name);
    });
    assert!(count > 80, "{count}");
}

#[test]
fn every_default_and_example_is_a_value_of_its_key() {
    keys::walk(keys::FILE, "", &mut |place, key| {
        let default = key.default.map(|default| {
            if default.parse::<i64>().is_ok() || matches!(key.kind, keys::Kind::Flag) { default.to_owned() } else { format!("{default:?}") }
        });
        for value in [Some(key.example.to_owned()), default].into_iter().flatten().filter(|value| !value.is_empty()) {
            let before = format!("{}{} = ", opened(place), key.name);
            // A file that an example names is not there; it is there to be named.
            let files = |_: &Path| Ok(vec![7; 32]);
            let Err(report) = parse_reading(&format!("{before}{value}"), "tidegate.toml", &|_| None, &files, None) else { continue };
            // Other things are missing around it, and names refer to nothing; the value itself must be right.
            let wrong = report.problems().iter().find(|problem| {
                let here = problem.span().is_some_and(|span| span.start >= before.len());
                here && problem.severity() == Severity::Error && !problem.message().starts_with("there is no ")
            });
            assert!(wrong.is_none(), "`{}` of `{place}`: {value} is refused:\n{report}", key.name);
        }
    });
}

/// `MINIMAL` with one replacement.
fn edited(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    MINIMAL.replace(from, to)
}

/// What is told of a text: one line each, without the file's name.
fn told(text: &str) -> Vec<String> {
    let report = match parse_with(text, "", &|name| (name == "SET").then(|| "10.0.0.7".to_owned())) {
        Ok((_, warnings)) => warnings,
        Err(report) => report,
    };
    report.lines().map(|line| line.trim_start_matches(':').to_owned()).collect()
}

#[test]
fn what_cannot_be_read_is_a_report_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("latin1.toml"), b"# caf\xe9\n").unwrap();
    std::fs::write(path.join("second.toml"), b"# one\n# caf\xe9\n").unwrap();
    let large = std::fs::File::create(path.join("large.toml")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    for (name, expected) in [
        ("missing.toml", "there is no such file"),
        ("latin1.toml", "the file is not UTF-8: line 1 has other bytes (save it as UTF-8)"),
        ("second.toml", "the file is not UTF-8: line 2 has other bytes (save it as UTF-8)"),
        ("large.toml", "the file is larger than 16 MiB (is this the right file?)"),
        ("", "this is a directory (name the file in it)"),
    ] {
        let path = path.join(name);
        let report = load(&path).unwrap_err();
        assert_eq!(report.lines().collect::<Vec<_>>(), [format!("{}: {expected}", path.display())]);
        assert!(report.render(false).contains(&format!("--> {}", path.display())), "{report}");
    }
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidegate.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let (config, warnings) = load(&path).unwrap();
    assert_eq!(config, parse_pure(MINIMAL).unwrap().0);
    assert!(warnings.is_empty());
}

/// `MINIMAL` whose listener and pool have these lines of their own, with files: what is parsed, or what is told.
fn with_tls(listen: &str, pool: &str, files: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<String>> {
    let text = MINIMAL.replace("[pool.app]", &format!("{listen}\n[pool.app]\n{pool}"));
    let read = |path: &Path| {
        let found = path.to_str().and_then(files);
        found.map(String::into_bytes).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    match parse_reading(&text, "", &|_| None, &read, None) {
        Ok((config, _)) => Ok(config),
        Err(report) => Err(report.lines().map(|line| line.trim_start_matches(':').to_owned()).collect()),
    }
}

#[test]
fn certificates_are_read_whole_or_refused_where_they_are_named() {
    let make = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (a, b) = (make("a.example"), make("b.example"));
    let files = |path: &str| {
        Some(match path {
            "a.pem" => a.cert.pem(),
            "a.key" => a.signing_key.serialize_pem(),
            "b.key" => b.signing_key.serialize_pem(),
            "both.pem" => b.cert.pem() + &b.signing_key.serialize_pem(),
            "half.pem" => a.cert.pem()[..200].to_owned(),
            "empty.pem" => String::new(),
            _ => return None,
        })
    };
    let listen =
        "tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }, \"both.pem\"], client_ca = \"a.pem\", hsts = \"1h\" }";
    let pool = "tls = { server_name = \"a.example\", ca = \"a.pem\", certificate = \"both.pem\" }";
    let config = with_tls(listen, pool, &files).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[1].pair.names(), ["b.example"]);
    assert!(tls.client_ca.is_some() && tls.hsts == Some(Duration::from_secs(3600)));
    assert_eq!(config.pools[0].tls.as_ref().unwrap().server_name.as_ref().unwrap().to_str(), "a.example");
    assert!(with_tls("", "tls = {}", &files).unwrap().pools[0].tls.as_ref().unwrap().server_name.is_none());

    for (listen, pool, expected) in [
        ("tls = {}", "", "5:1: `tls` has no certificates (write `certificates = [{ certificate = \"site.pem\", key = \"site.key\" }]`)"),
        (
            "tls = { certificates = [\"no.pem\"] }",
            "",
            "5:25: `certificates`: `no.pem` cannot be read: there is no such file (the path is relative to the directory of the configuration)",
        ),
        ("tls = { certificates = [\"a.pem\"] }", "", "5:25: there is no private key in `a.pem`"),
        ("tls = { certificates = [\"empty.pem\"] }", "", "5:25: there is no certificate in `empty.pem`"),
        (
            "tls = { certificates = [{ certificate = \"a.pem\", key = \"b.key\" }] }",
            "",
            "5:56: `b.key`: the private key in it is not that of the certificate",
        ),
        (
            "redirect_https = 443\ntls = { certificates = [\"both.pem\"] }",
            "",
            "5:18: a listener with `tls` has nobody to send to https (put `redirect_https` on the plain listener, the one at port 80)",
        ),
        ("", "tls = { server_name = \"a b\" }", "7:23: `a b` is not the name of a server (write a DNS name or an IP address)"),
        ("", "tls = { key = \"a.key\" }", "7:9: a `key` without a `certificate` (name the file with its certificate too)"),
        ("", "tls = { ca = \"empty.pem\" }", "7:14: there is no certificate in `empty.pem`"),
    ] {
        assert_eq!(with_tls(listen, pool, &files).unwrap_err(), [expected], "{listen} {pool}");
    }
    let half = with_tls("tls = { certificates = [{ certificate = \"half.pem\", key = \"a.key\" }] }", "", &files).unwrap_err();
    assert!(half[0].starts_with("5:41: "), "{half:?}");
}
