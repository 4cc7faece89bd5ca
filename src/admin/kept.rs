//! `POST /api/cache`: what the caches have under one URL, and why; `tidegate explain --cache` reads it back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cache::purge::What;

/// About one URL.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptQuery {
    pub url: String,
    pub what: What,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptReport {
    pub url: String,
    /// Whether any cache has an answer.
    pub stored: bool,
    pub caches: Vec<CacheReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheReport {
    pub name: String,
    /// Requests to the origin under way.
    pub fetching: usize,
    /// Why the last answer that was not kept was not, as `detail` of `Cache-Status` has it; `None`: there was none lately.
    pub last_refused: Option<String>,
    /// Those that are kept.
    pub answers: Vec<KeptAnswer>,
    /// So many more are kept.
    pub not_shown: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The URL as the key has it.
    pub key: String,
    /// In whose name it is kept: a pool's, and beside it what the route changes in requests.
    pub pool: String,
    pub status: u16,
    /// `fresh`, `stale`, or `purged softly`.
    pub state: String,
    /// When it becomes stale, or became it.
    pub fresh_until: Timestamp,
    pub age_seconds: u64,
    pub lifetime_seconds: u64,
    /// Beyond its lifetime.
    pub stale_while_revalidate_seconds: u64,
    pub stale_if_error_seconds: u64,
    /// It is used only with the origin's word that it still holds.
    pub asks_first: bool,
    /// Its fields that say how it may be used. Where none of them gives a time, that is from the route, or from `Last-Modified`.
    pub because: Vec<String>,
    pub tags: Vec<String>,
    /// What it weighs, and of that its content.
    pub bytes: u64,
    pub content_bytes: u64,
    /// Only parts of it are kept: the whole is this long.
    pub part_of_bytes: Option<u64>,
    /// How long it took to fetch.
    pub fetch_ms: u64,
}

impl KeptQuery {
    pub const PATH: &str = "/api/cache";

    /// The question in the body of a request; else what is wrong with it.
    pub fn read(body: &[u8]) -> Result<KeptQuery, String> {
        const EXAMPLE: &str = r#"{"url": "http://example.com/x"}"#;
        let Written { url } = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not what it should be ({error}); send JSON such as {EXAMPLE}"))?;
        match What::of_url(&url) {
            Some(what @ What::Url(_)) => Ok(KeptQuery { url, what }),
            _ => Err(format!("`{}` is not a URL such as \"http://example.com/x\"", url.escape_debug())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_and_what_is_wrong_is_said() {
        assert_eq!(KeptQuery::read(br#"{"url":"http://a/x"}"#).map(|query| query.url), Ok("http://a/x".to_owned()));
        for (body, expected) in
            [("", "EOF"), (r#"{"url":"/x"}"#, "is not a URL"), (r#"{"url":"http://a/*"}"#, "is not a URL"), ("{}", "missing")]
        {
            assert!(KeptQuery::read(body.as_bytes()).is_err_and(|said| said.contains(expected)), "{body}");
        }
    }
}
