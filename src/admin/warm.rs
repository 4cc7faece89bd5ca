//! `POST /api/warm`: URLs to be fetched into the caches; `GET /api/warm`: how far that is; `DELETE /api/warm`: no further.

use serde::{Deserialize, Serialize};

use crate::config::model::WarmUrl;
use crate::config::urls::{self, URLS_MAX};

/// Of what is wrong, in the answer.
const SHOWN_CHARS: usize = 200;

#[derive(Debug, Clone, PartialEq)]
pub struct WarmOrder {
    pub urls: Vec<WarmUrl>,
    /// So many requests under way.
    pub at_once: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    urls: Vec<String>,
    at_once: Option<usize>,
}

/// The list that was begun last; all zero: there was none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WarmReport {
    pub total: usize,
    pub answered: usize,
    pub failed: usize,
    pub over: bool,
    /// It was broken off: by hand, by a reload, or because the process ends.
    pub stopped: bool,
    /// The first of those that failed.
    pub misses: Vec<WarmMiss>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmMiss {
    pub url: String,
    /// A status, a reason as the access log has it, or a sentence.
    pub why: String,
}

impl WarmOrder {
    pub const PATH: &str = "/api/warm";
    /// Requests under way at once where nobody says.
    pub const AT_ONCE: usize = 8;
    pub const AT_ONCE_MAX: usize = 1024;
    /// The 50,000 URLs that a sitemap may have, at a length that is usual.
    pub const BODY_BYTES: usize = 8 << 20;

    /// The order in the body of a request; else what is wrong with it.
    pub fn read(body: &[u8]) -> Result<WarmOrder, String> {
        const EXAMPLE: &str = r#"{"urls": ["http://example.com/x"], "at_once": 8}"#;
        let Written { urls, at_once } = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not what it should be ({error}); send JSON such as {EXAMPLE}"))?;
        let at_once = at_once.unwrap_or(WarmOrder::AT_ONCE);
        if !(1..=WarmOrder::AT_ONCE_MAX).contains(&at_once) {
            return Err(format!("`at_once` is a number from 1 to {}", WarmOrder::AT_ONCE_MAX));
        }
        if urls.len() > URLS_MAX {
            return Err(format!("a list has {URLS_MAX} URLs at most, and this has {}", urls.len()));
        }
        let parse = |url: &String| {
            let shown = || url.chars().take(SHOWN_CHARS).collect::<String>();
            urls::parse(url).ok_or_else(|| format!("`{}` is not a URL such as http://example.com/x", shown().escape_debug()))
        };
        Ok(WarmOrder { urls: urls.iter().map(parse).collect::<Result<_, _>>()?, at_once })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_what_is_wrong_is_said() {
        let url = |text: &str| urls::parse(text).expect("a URL");
        for (body, expected) in [
            (r#"{"urls":["http://a/x"]}"#, Ok(WarmOrder { urls: vec![url("http://a/x")], at_once: WarmOrder::AT_ONCE })),
            (r#"{"urls":[],"at_once":1}"#, Ok(WarmOrder { urls: vec![], at_once: 1 })),
            (r#"{"urls":["/x"]}"#, Err("is not a URL")),
            (r#"{"urls":[],"at_once":0}"#, Err("from 1 to")),
            ("{}", Err("missing field")),
        ] {
            match (WarmOrder::read(body.as_bytes()), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{body}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{body}: {said}"),
                (read, _) => panic!("{body}: {read:?}"),
            }
        }
    }
}
