//! Lists of URLs to warm a cache with: one a line, or a sitemap, of which only its `<loc>` count.

use super::model::WarmUrl;

/// Else which of them is none.
pub fn list(text: &str) -> Result<Vec<WarmUrl>, String> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let urls: Vec<String> = match text.starts_with('<') {
        true => text.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next()).map(|url| unescaped(url.trim())).collect(),
        false => text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect(),
    };
    urls.iter().map(|url| parse(url).ok_or_else(|| format!("`{}` is not a URL such as http://example.com/x", url.escape_debug()))).collect()
}

/// `None`: it is no absolute URL of http or https, or has what does not belong into a request.
pub fn parse(text: &str) -> Option<WarmUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let secure = match &*scheme.to_ascii_lowercase() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || authority.contains(['@', '\\']) || !is_plain(rest) {
        return None;
    }
    // As its key has it: else it would not speak for all who ask for it.
    let default = if secure { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).unwrap_or(authority).trim_end_matches('.').to_ascii_lowercase();
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some(WarmUrl { secure, authority, target })
}

fn unescaped(text: &str) -> String {
    // `&amp;` last: what it makes is no beginning of another.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        Ok(list(text)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_and_sitemaps_are_read() {
        let lines = "# popular\nhttp://A.example:80/x?y=1#top\n\n  https://a.example\n";
        assert_eq!(shown(lines), Ok(vec!["http://a.example/x?y=1".to_owned(), "https://a.example/".to_owned()]));
        let sitemap = "<?xml version=\"1.0\"?>\n<urlset><url><loc> http://a/?b=1&amp;c=2 </loc><lastmod>x</lastmod></url><url><loc>http://a/&amp;lt;</loc></url></urlset>";
        assert_eq!(shown(sitemap), Ok(vec!["http://a/?b=1&c=2".to_owned(), "http://a/&lt;".to_owned()]));
        assert_eq!(shown(""), Ok(vec![]));
    }

    #[test]
    fn what_is_none_is_named() {
        for text in ["/x", "ftp://a/", "http://", "http:///x", "http://a/ b", "http://me@a/", "a/x", "http://a/\u{e4}"] {
            assert!(shown(text).is_err_and(|said| said.contains("is not a URL")), "{text}");
        }
    }
}
