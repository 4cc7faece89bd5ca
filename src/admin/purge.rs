//! `POST /api/purge`: what is to be taken out of the caches, and the JSON that it comes in. `app` carries it out.

use serde::Deserialize;

use crate::cache::purge::{Purge, What};

/// To one cache or all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PurgeOrder {
    /// `None`: every cache.
    pub cache: Option<String>,
    pub purge: Purge,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    cache: Option<String>,
    url: Option<String>,
    tag: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
}

impl PurgeOrder {
    pub const PATH: &str = "/api/purge";

    /// The order in the body of a request; else what is wrong with it.
    pub fn read(body: &[u8]) -> Result<PurgeOrder, String> {
        const EXAMPLE: &str = r#"{"url": "http://example.com/img/*"}, {"tag": "news", "soft": true} or {"all": true, "cache": "main"}"#;
        let Written { cache, url, tag, all, soft } = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not what it should be ({error}); send JSON such as {EXAMPLE}"))?;
        let what = match (url, tag, all) {
            (Some(url), None, false) => What::of_url(&url).ok_or_else(|| {
                format!(
                    "`{}` is not a URL; write \"http://example.com/x\", or \"http://example.com/x/*\" for all below",
                    url.escape_debug()
                )
            })?,
            (None, Some(tag), false) if !tag.is_empty() => What::Tag(tag.into_bytes()),
            (None, None, true) => What::Everything,
            _ => return Err(format!("one of `url`, `tag` and `all` says what; send JSON such as {EXAMPLE}")),
        };
        Ok(PurgeOrder { cache, purge: Purge { what, soft } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_what_is_wrong_is_said() {
        let order = |cache: Option<&str>, what, soft| Ok(PurgeOrder { cache: cache.map(str::to_owned), purge: Purge { what, soft } });
        for (body, expected) in [
            (r#"{"all":true}"#, order(None, What::Everything, false)),
            (r#"{"tag":"a b","soft":true,"cache":"main"}"#, order(Some("main"), What::Tag(b"a b".to_vec()), true)),
            (r#"{"url":"http://a/x"}"#, order(None, What::of_url("http://a/x").unwrap(), false)),
            (r#"{"url":"/x"}"#, Err("is not a URL")),
            (r#"{"url":"http://a/x","all":true}"#, Err("one of")),
            (r#"{"tag":""}"#, Err("one of")),
            (r#"{}"#, Err("one of")),
            (r#"{"urls":[]}"#, Err("unknown field")),
            ("", Err("EOF")),
        ] {
            match (PurgeOrder::read(body.as_bytes()), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{body}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{body}: {said}"),
                (read, _) => panic!("{body}: {read:?}"),
            }
        }
    }
}
