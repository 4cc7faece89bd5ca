//! What a person sees: a dozen reports, letter by letter.

use super::*;

fn rendered(text: &str) -> String {
    match parse_pure(text) {
        Ok((_, warnings)) => warnings.render(false),
        Err(report) => report.render(false),
    }
}

/// An edit of the smallest file, and the report.
const CASES: &[(&str, &str, &str)] = &[
    (
        "least_connections",
        "least_conections",
        r#"
error: `least_conections` is not one of the words for `algorithm`
 --> tidegate.toml:6:13
  |
6 | algorithm = "least_conections"
  |             ^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean "least_connections"? there are "round_robin", "weighted_round_robin", "random", "p2c", "least_connections", "least_time", "peak_ewma", "ip_hash", "consistent_hash", "maglev", "rendezvous", "first""#,
    ),
    (
        "algorithm",
        "algoritm",
        r#"
error: unknown key `algoritm` in `pool.app`
 --> tidegate.toml:6:1
  |
6 | algoritm = "least_connections"
  | ^^^^^^^^ unknown key
  |
  = help: did you mean `algorithm`?"#,
    ),
    (
        "[pool.app]",
        "workers = 4\n[pool.app]",
        r#"
error: unknown key `workers` in `listen.web`
 --> tidegate.toml:5:1
  |
5 | workers = 4
  | ^^^^^^^ unknown key
  |
  = help: it belongs under `[server]`"#,
    ),
    (
        "10.0.0.2:8080",
        "localhost:3000",
        r#"
error: `localhost:3000` is a name, not an address
 --> tidegate.toml:7:30
  |
7 | backends = ["10.0.0.1:8080", "localhost:3000"]
  |                              ^^^^^^^^^^^^^^^^
  |
  = help: write "127.0.0.1:3000", or `{ dns = "localhost:3000" }`"#,
    ),
    (
        "pool = \"app\"",
        "pool = \"ap\"",
        r#"
error: there is no pool `ap`
  --> tidegate.toml:10:8
   |
10 | pool = "ap"
   |        ^^^^
   |
   = help: did you mean `app`?"#,
    ),
    (
        "[[route]]",
        "tls = { ca = \"ca.pem\" }\n[[route]]",
        r#"
error: `ca`: `ca.pem` cannot be read: there is no such file
 --> tidegate.toml:9:14
  |
9 | tls = { ca = "ca.pem" }
  |              ^^^^^^^^
  |
  = help: the path is relative to the directory of the configuration"#,
    ),
    (
        "[[route]]",
        "timeout = { connect = 3 }\n[[route]]",
        r#"
error: expected a duration in quotes such as "30s", found a number
 --> tidegate.toml:9:23
  |
9 | timeout = { connect = 3 }
  |                       ^
  |
  = help: write "3s" or "3ms""#,
    ),
    (
        "[[route]]",
        "[[route]]\npool = \"app\"\n[[route]]",
        r#"
error: routes `/*` and `/* #2` match the same requests, and neither is more specific
  --> tidegate.toml:11:1
   |
 9 | [[route]]
   | --------- and this one
10 | pool = "app"
11 | [[route]]
   | ^^^^^^^^^ this route
   |
   = help: give one a higher `priority`, or a predicate that the other has with another value"#,
    ),
    (
        "\"10.0.0.2:8080\"",
        "\"10.0.0.1:8080\"",
        r#"
error: pool `app` has 10.0.0.1:8080 twice
 --> tidegate.toml:7:30
  |
7 | backends = ["10.0.0.1:8080", "10.0.0.1:8080"]
  |             ---------------  ^^^^^^^^^^^^^^^
  |             |
  |             first here
  |
  = help: take one out; a larger share is a `weight`"#,
    ),
    (
        "\"0.0.0.0:8080\"",
        "[\"0.0.0.0:8080\", \"${ADDRESS}\"]",
        r#"
error: the environment variable `ADDRESS` is not set
 --> tidegate.toml:3:28
  |
3 | address = ["0.0.0.0:8080", "${ADDRESS}"]
  |                            ^^^^^^^^^^^^
  |
  = help: set it, or give a default: `${ADDRESS:-default}`"#,
    ),
    (
        "pool = \"app\"",
        "pool = \"app\"\npath = \"/bücher/*/x\" # weiß",
        r#"
error: a `*` may only stand at the end of a path, behind a `/`
  --> tidegate.toml:11:8
   |
11 | path = "/bücher/*/x" # weiß
   |        ^^^^^^^^^^^^^
   |
   = help: a path is exact, or a prefix of whole segments: "/bücher/*""#,
    ),
    (
        "\"10.0.0.2:8080\"]",
        "\"10.0.0.2:8080\"",
        r#"
error: missing comma between array elements, expected `,`
 --> tidegate.toml:9:1
  |
9 | [[route]]
  | ^"#,
    ),
    (
        "least_connections\"\nbackends = [",
        "round_robin\"\nbackends = [\n  { address = \"10.0.0.3:80\", weight = 5 },",
        r#"
warning: `round_robin` ignores weights
 --> tidegate.toml:8:39
  |
6 | algorithm = "round_robin"
  | --------- the algorithm is chosen here
7 | backends = [
8 |   { address = "10.0.0.3:80", weight = 5 },"10.0.0.1:8080", "10.0.0.2:8080"]
  |                                       ^
  |
  = help: `algorithm = "weighted_round_robin"` gives turns by weight"#,
    ),
    (
        "[[route]]",
        "[admin]\naddress = \"0.0.0.0:9900\"\n[[route]]",
        r#"
warning: the admin listener on 0.0.0.0:9900 can be reached from other machines
  --> tidegate.toml:10:11
   |
10 | address = "0.0.0.0:9900"
   |           ^^^^^^^^^^^^^^
   |
   = help: it has no password; "127.0.0.1:9900" keeps it to this machine"#,
    ),
];

#[test]
fn reports_read_as_they_should() {
    for (from, to, expected) in CASES {
        let got = rendered(&edited(from, to));
        assert_eq!(got, expected.trim_start_matches('\n'), "\n{got}\n");
    }
}

#[test]
fn colours_are_for_terminals() {
    let report = parse_pure("").unwrap_err();
    assert!(report.render(true).contains('\u{1b}'));
    assert!(!report.render(false).contains('\u{1b}'));
    assert_eq!(report.to_string(), report.render(false));
}

#[test]
fn several_mistakes_come_in_the_order_of_the_file() {
    let text = edited("[[route]]", "idle_connections = -1\n[[route]]\nhost = \"*\"").replace("0.0.0.0:8080", "here");
    let lines: Vec<String> = told(&text);
    let places: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["3:11:", "9:20:", "11:8:"]);
}

#[test]
fn a_file_of_noise_is_not_told_to_its_end() {
    let text: String = (0..500).map(|number| format!("key{number} = 1\n")).collect();
    let report = parse_pure(&text).unwrap_err();
    assert_eq!(report.problems().len(), 500);
    assert_eq!(report.lines().count(), 101);
    assert_eq!(report.lines().last().unwrap(), "and 400 more in tidegate.toml");
    assert!(report.render(false).ends_with("\n\nand 400 more in tidegate.toml"));
}
