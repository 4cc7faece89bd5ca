//! Messages as they were on the wire: a reader of its own, independent of the proxy's codec, and unforgiving.

use super::show;

/// A start line with fields, names as they came.
#[derive(Debug, Clone)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// `bytes`: up to and with the empty line.
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Head {
        // Bytes over 127 are allowed in values; here each is the character of that number.
        let text: String = bytes.iter().copied().map(char::from).collect();
        let text = text.strip_suffix("\r\n\r\n").unwrap_or_else(|| panic!("a head without an end: {}", show(bytes)));
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Head { start, fields: fields(lines) }
    }

    #[track_caller]
    pub fn status(&self) -> u16 {
        let mut words = self.start.split(' ');
        let version = words.next().unwrap_or_default();
        assert!(version == "HTTP/1.1" || version == "HTTP/1.0", "not a status line: {}", self.start);
        words.next().and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("not a status line: {}", self.start))
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands {} times in {self:?}", all.len());
        all.first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a comma-separated field has this member, in any case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name).iter().flat_map(|value| value.split(',')).any(|other| other.trim().eq_ignore_ascii_case(member))
    }
}

/// Name and value of each line; anything that is not exactly a field line fails the test.
#[track_caller]
pub fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field line: {line:?}"));
            assert!(!name.is_empty() && !name.contains([' ', '\t']), "not a field line: {line:?}");
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect()
}

/// A whole message, its body decoded.
#[derive(Debug, Clone)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
