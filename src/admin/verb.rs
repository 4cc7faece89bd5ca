//! What can be told about one backend while the process runs, and the JSON that it comes in.
//!
//! `POST /api/drain`, `/api/eject`, `/api/resume`, `/api/weight`, each with an object that names pool and backend. `app` carries it out.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Longer is surely a mistake, and adding it to a clock must never overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// As in the configuration.
const WEIGHT_MAX: u32 = 1_000_000;

/// To one backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub pool: String,
    /// Its address, as `status` shows it.
    pub backend: String,
    pub verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verb {
    /// Takes no new requests and finishes what it has. `deadline`: how long sticky sessions still come; `None`: until it is resumed.
    Drain { deadline: Option<Duration> },
    /// Takes no requests at all, sticky or not, and finishes what it has. `time`: then it is back; `None`: when it is resumed.
    Eject { time: Option<Duration> },
    /// As the file has it again.
    Resume,
    /// Another weight than the file's.
    Weight(u32),
}

/// How an order was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerbReport {
    pub ok: bool,
    /// For people: what is so from now on, or why it is not.
    pub report: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    pool: String,
    backend: String,
    deadline: Option<SignedDuration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Eject {
    pool: String,
    backend: String,
    r#for: Option<SignedDuration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    pool: String,
    backend: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    pool: String,
    backend: String,
    weight: u32,
}

impl Order {
    /// The last part of the path of each, in the order of the index page.
    pub const PATHS: &[&str] = &["/api/drain", "/api/eject", "/api/resume", "/api/weight"];

    /// The order in the body of a request for one of `PATHS`; else what is wrong with it.
    pub fn read(path: &str, body: &[u8]) -> Result<Order, String> {
        match path {
            "/api/drain" => {
                let Drain { pool, backend, deadline } = parsed(body, r#"{"pool": "app", "backend": "10.0.0.1:8080", "deadline": "10m"}"#)?;
                let deadline = deadline.map(|deadline| time("deadline", deadline)).transpose()?;
                Ok(Order { pool, backend, verb: Verb::Drain { deadline } })
            }
            "/api/eject" => {
                let Eject { pool, backend, r#for } = parsed(body, r#"{"pool": "app", "backend": "10.0.0.1:8080", "for": "5m"}"#)?;
                let time = r#for.map(|duration| time("for", duration)).transpose()?;
                Ok(Order { pool, backend, verb: Verb::Eject { time } })
            }
            "/api/resume" => {
                let Resume { pool, backend } = parsed(body, r#"{"pool": "app", "backend": "10.0.0.1:8080"}"#)?;
                Ok(Order { pool, backend, verb: Verb::Resume })
            }
            _ => {
                let Weight { pool, backend, weight } = parsed(body, r#"{"pool": "app", "backend": "10.0.0.1:8080", "weight": 5}"#)?;
                if weight > WEIGHT_MAX {
                    return Err(format!("`weight` can not be {weight}: it is a whole number from 0 to {WEIGHT_MAX}"));
                }
                Ok(Order { pool, backend, verb: Verb::Weight(weight) })
            }
        }
    }
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8], example: &str) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not what it should be ({error}); send JSON such as {example}"))
}

fn time(name: &str, duration: SignedDuration) -> Result<Duration, String> {
    let duration = Duration::try_from(duration).ok().filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX);
    duration.ok_or_else(|| format!("`{name}` is longer than nothing and at most a year, such as \"10m\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_what_is_wrong_is_said() {
        let order = |verb| Ok(Order { pool: "app".into(), backend: "a:1".into(), verb });
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        for (path, body, expected) in [
            ("/api/drain", r#"{"pool":"app","backend":"a:1"}"#, order(Verb::Drain { deadline: None })),
            ("/api/drain", r#"{"pool":"app","backend":"a:1","deadline":"10m"}"#, order(Verb::Drain { deadline: minutes(10) })),
            ("/api/eject", r#"{"pool":"app","backend":"a:1"}"#, order(Verb::Eject { time: None })),
            ("/api/eject", r#"{"pool":"app","backend":"a:1","for":"10m"}"#, order(Verb::Eject { time: minutes(10) })),
            ("/api/eject", r#"{"pool":"app","backend":"a:1","for":10}"#, Err("send JSON such as")),
            ("/api/resume", r#"{"pool":"app","backend":"a:1"}"#, order(Verb::Resume)),
            ("/api/weight", r#"{"pool":"app","backend":"a:1","weight":0}"#, order(Verb::Weight(0))),
            ("/api/weight", r#"{"pool":"app","backend":"a:1","weight":1000001}"#, Err("0 to 1000000")),
            ("/api/weight", r#"{"pool":"app","backend":"a:1","weight":-1}"#, Err("invalid value")),
            ("/api/weight", r#"{"pool":"app","backend":"a:1"}"#, Err("missing field `weight`")),
            ("/api/drain", r#"{"pool":"app","backend":"a:1","deadline":"0s"}"#, Err("longer than nothing")),
            ("/api/drain", r#"{"pool":"app","backend":"a:1","deadline":"-1m"}"#, Err("longer than nothing")),
            ("/api/drain", r#"{"pool":"app","backend":"a:1","for":"1m"}"#, Err("unknown field `for`")),
            ("/api/resume", "", Err("EOF")),
            ("/api/resume", "[]", Err("send JSON such as")),
        ] {
            match (Order::read(path, body.as_bytes()), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{body}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{body}: {said}"),
                (read, _) => panic!("{path} {body}: {read:?}"),
            }
        }
        for path in Order::PATHS {
            assert!(Order::read(path, b"{}").is_err_and(|said| said.contains("pool")), "{path}");
        }
    }
}
