//! The request that `explain` is asked about, read as a client would have sent it and the proxy would see it.

use anyhow::{Context, bail};

use crate::cli::args::Explain;
use crate::message::{Head, Name, Version, path};

#[derive(Debug)]
pub struct Question {
    /// The URL's port, or its scheme's; `None`: a path alone was given.
    pub port: Option<u16>,
    /// As routes see it; empty where there is none.
    pub host: String,
    /// As routes see it.
    pub path: String,
    pub head: Head,
}

impl Question {
    pub fn from_arguments(asked: &Explain) -> anyhow::Result<Question> {
        let Url { authority, port, target } = Url::parse(asked.url())?;
        let typed = asked.header.iter().find(|(name, _)| Name::of(name.as_bytes()) == Name::Host);
        let authority = typed.map_or(authority, |(_, value)| value.as_str());
        let host = path::host(authority.as_bytes()).with_context(|| format!("`{authority}` is no host: the answer is 400"))?;

        let mut head = Head::request(asked.method().as_bytes(), target.as_bytes(), authority.as_bytes(), Version::Http11);
        for (name, value) in &asked.header {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        let path =
            path::normalise(head.path()).map_err(|malformed| anyhow::anyhow!("`{target}`: the answer is 400. {}", malformed.says()))?;
        Ok(Question { port, host: host.into_owned(), path: path.into_owned(), head })
    }
}

struct Url<'a> {
    /// Empty for a path alone.
    authority: &'a str,
    port: Option<u16>,
    /// Path and query; a fragment stays with the client.
    target: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> anyhow::Result<Url<'a>> {
        let sent = url.split('#').next().unwrap_or_default();
        if sent.starts_with('/') || sent == "*" {
            return Ok(Url { authority: "", port: None, target: sent });
        }
        let (scheme, rest) = sent.split_once("://").unwrap_or(("http", sent));
        let usual = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            _ => bail!("`{url}` is neither a path nor an http URL: write `http://example.com/path` or `/path`"),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || target.starts_with('?') {
            bail!("`{url}` has no host or no path: write `http://example.com/path` or `/path`");
        }
        // What follows the last colon, unless that stands inside the brackets of an IPv6 address.
        let port = match authority.rsplit_once(':').map(|(_, port)| port) {
            Some(port) if !port.is_empty() && !port.ends_with(']') => port.parse().with_context(|| format!("`{port}` is no port"))?,
            _ => usual,
        };
        Ok(Url { authority, port: Some(port), target: if target.is_empty() { "/" } else { target } })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn ask(line: &[&str]) -> anyhow::Result<Question> {
        let cli = Cli::try_parse_from(["tidegate", "explain", "a.toml"].iter().chain(line)).unwrap();
        let Command::Explain(asked) = cli.command else { panic!("not explain") };
        Question::from_arguments(&asked)
    }

    #[test]
    fn a_url_is_read_as_a_client_reads_it() {
        for (url, host, port, path) in [
            ("http://example.com/a/b?c#d", "example.com", Some(80), "/a/b"),
            ("http://Example.COM.:8080/", "example.com", Some(8080), "/"),
            ("https://example.com", "example.com", Some(443), "/"),
            ("http://[::1]/%61", "[::1]", Some(80), "/a"),
            ("http://[::1]:81/", "[::1]", Some(81), "/"),
            ("example.com:81/x", "example.com", Some(81), "/x"),
            ("/x?y=http://z", "", None, "/x"),
            ("*", "", None, "*"),
        ] {
            let question = ask(&["GET", url]).unwrap();
            assert_eq!((question.host.as_str(), question.port, question.path.as_str()), (host, port, path), "{url}");
        }
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (url, said) in [
            ("ftp://a/", "neither a path"),
            ("http:///x", "no host"),
            ("http://a?x", "no path"),
            ("http://a:b/", "`b` is no port"),
            ("http://me@a/", "`me@a` is no host"),
            ("/a/../b", "the answer is 400"),
        ] {
            let error = ask(&["GET", url]).unwrap_err();
            assert!(error.to_string().contains(said), "{url}: {error}");
        }
    }

    #[test]
    fn a_host_header_goes_before_the_urls() {
        let question = ask(&["GET", "http://a/x?v=2", "-H", "X-Team: a", "-H", "hOST: B:80"]).unwrap();
        assert_eq!(question.host, "b");
        assert_eq!(question.head.query(), Some(&b"v=2"[..]));
        assert_eq!(question.head.fields.find("x-team").next(), Some(&b"a"[..]));
    }
}
