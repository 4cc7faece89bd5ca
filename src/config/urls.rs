//! Lists of URLs to warm a cache with: one a line, or a sitemap, of which only its `<loc>` count.
//!
//! A list is made by others, or left half written by a process that was killed. What is wrong in it is skipped and told; the rest is used.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::model::WarmUrl;
use crate::message::authority::Authority;

/// A sitemap may have 50 MB.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// And 50,000 URLs.
pub const URLS_MAX: usize = 100_000;
/// Longer ones would be refused from clients too.
const URL_BYTES_MAX: usize = 8000;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub urls: Vec<WarmUrl>,
    /// How many lines or `<loc>` are no URLs, and the first of them.
    pub wrong: usize,
    pub wrong_first: Option<String>,
    /// There are more than may be in a list.
    pub is_cut: bool,
}

/// What is wrong with a list as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it can not be read: {0}")]
    Read(io::Error),
    #[error("it is an index of sitemaps, which is not followed: name the sitemaps themselves")]
    Index,
}

pub fn read(path: &Path) -> Result<Listed, Unusable> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(Unusable::Read)?;
    let is_cut = bytes.len() as u64 > LIST_BYTES_MAX;
    if is_cut {
        // What stands at the cut may look like a URL and be half of one.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0));
    }
    let listed = list(&String::from_utf8_lossy(&bytes))?;
    Ok(Listed { is_cut: listed.is_cut || is_cut, ..listed })
}

pub fn list(text: &str) -> Result<Listed, Unusable> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut listed = Listed::default();
    if !text.starts_with('<') {
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(|line| listed.add(line));
        return Ok(listed);
    }
    if text.contains("<sitemapindex") {
        return Err(Unusable::Index);
    }
    // One without an end has been cut.
    for (loc, _) in text.split("<loc>").skip(1).filter_map(|rest| rest.split_once("</loc>")) {
        listed.add(&unescaped(loc.trim()));
    }
    Ok(listed)
}

impl Listed {
    fn add(&mut self, text: &str) {
        match parse(text) {
            _ if self.urls.len() >= URLS_MAX => self.is_cut = true,
            Some(url) => self.urls.push(url),
            None => {
                self.wrong += 1;
                self.wrong_first.get_or_insert_with(|| text.chars().take(200).collect::<String>().escape_debug().to_string());
            }
        }
    }
}

/// `None`: it is no absolute URL of http or https, or has what does not belong into a request.
pub fn parse(text: &str) -> Option<WarmUrl> {
    let (scheme, rest) = text.split_once("://").filter(|_| text.len() <= URL_BYTES_MAX)?;
    let secure = match &*scheme.to_ascii_lowercase() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let parsed = Authority::parse(authority.as_bytes()).filter(|_| target.bytes().all(|byte| byte.is_ascii_graphic()))?;
    // As its key has it: else it would not speak for all who ask for it.
    let host = str::from_utf8(parsed.host).ok()?.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    if host.is_empty() {
        return None;
    }
    let default = if secure { 443 } else { 80 };
    let authority = match parsed.port.filter(|port| *port != default) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some(WarmUrl { secure, authority, target })
}

fn unescaped(text: &str) -> String {
    let text = text.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>")).unwrap_or(text);
    // Ampersands last: what they make is no beginning of another.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#38;", "&amp;"), ("&#x26;", "&amp;"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        list(text).expect("a list").urls.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_and_sitemaps_are_read() {
        let lines = "# popular\nhttp://A.example:80/x?y=1#top\n\n  https://a.example\n";
        assert_eq!(shown(lines), ["http://a.example/x?y=1", "https://a.example/"]);
        let sitemap = "<?xml version=\"1.0\"?>\n<urlset><url><loc> http://a/?b=1&amp;c=2 </loc><lastmod>x</lastmod></url><url><loc>\
                       http://a/&amp;lt;</loc></url><url><loc><![CDATA[http://a/?b&c]]></loc></url><url><loc>http://a/?x&#38;y</loc></url></urlset>";
        assert_eq!(shown(sitemap), ["http://a/?b=1&c=2", "http://a/&lt;", "http://a/?b&c", "http://a/?x&y"]);
        assert_eq!(shown(""), [""; 0]);
    }

    #[test]
    fn what_is_none_is_skipped_and_named() {
        let long = format!("http://a/{}", "x".repeat(URL_BYTES_MAX));
        for text in [
            "/x",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a/ b",
            "http://me@a/",
            "http://./",
            "http://a:b/",
            "a/x",
            "http://a/\u{e4}",
            "\u{fffd}\0",
            &long,
        ] {
            let listed = list(&format!("http://a/1\n{text}\nhttp://a/2\n")).expect("a list");
            assert_eq!((listed.urls.len(), listed.wrong), (2, 1), "{text}");
            assert!(listed.wrong_first.is_some_and(|first| first.len() < 2000), "{text}");
        }
    }

    #[test]
    fn what_was_cut_is_used_as_far_as_it_goes() {
        assert_eq!(shown("<urlset><url><loc>http://a/1</loc></url><url><loc>http://a/22"), ["http://a/1"]);
        let many = "http://a/\n".repeat(URLS_MAX + 1);
        let listed = list(&many).expect("a list");
        assert_eq!((listed.urls.len(), listed.is_cut), (URLS_MAX, true));
        assert!(matches!(list("<sitemapindex><sitemap><loc>http://a/1.xml</loc></sitemap></sitemapindex>"), Err(Unusable::Index)));
        assert!(matches!(read(Path::new("/no/such/list")), Err(Unusable::Read(_))));
    }

    proptest! {
        #[test]
        fn no_list_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), sitemap: bool) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = list(&if sitemap { format!("<loc>{text}</loc>") } else { text });
        }

        #[test]
        fn what_is_shown_is_read_back(text in "https?://[a-z.]{1,9}(:[0-9]{1,5})?(/[!-~]{0,20})?") {
            // Of several final dots each reading takes one.
            if let Some(url) = parse(&text).filter(|url| !url.authority.contains("..") && !url.authority.ends_with('.') && !url.authority.contains(".:")) {
                prop_assert_eq!(parse(&url.to_string()), Some(url));
            }
        }
    }
}
