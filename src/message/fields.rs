//! Header or trailer fields: one arena of bytes, spans into it, and edits appended behind.
//!
//! A field is two spans and a number: names that the proxy itself acts on are recognised once, when the field is added, so that
//! every later question ("is there a Connection field?") compares small integers. Name case and order are kept as received.

use std::ops::Range;

macro_rules! names {
    ($( $name:ident = $text:literal, )+) => {
        /// A field name that the proxy acts on, or `Other`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name { $( $name, )+ Other }

        const KNOWN: &[(Name, &str)] = &[$( (Name::$name, $text), )+];

        impl Name {
            /// Lower case; empty for `Other`.
            pub fn as_str(self) -> &'static str {
                match self { $( Name::$name => $text, )+ Name::Other => "" }
            }
        }
    };
}

names! {
    Te = "te",
    Age = "age",
    Via = "via",
    Date = "date",
    Host = "host",
    Vary = "vary",
    Accept = "accept",
    Cookie = "cookie",
    Expect = "expect",
    Server = "server",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Referer = "referer",
    Location = "location",
    Forwarded = "forwarded",
    Connection = "connection",
    KeepAlive = "keep-alive",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
    ContentType = "content-type",
    MaxForwards = "max-forwards",
    CacheControl = "cache-control",
    Authorization = "authorization",
    ContentLength = "content-length",
    HttpTwoSettings = "http2-settings",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    ProxyConnection = "proxy-connection",
    XForwardedProto = "x-forwarded-proto",
    TransferEncoding = "transfer-encoding",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
}

/// For each length, where the known names of that length begin in `KNOWN` (which is ordered by length).
const LONGEST: usize = 19;
const BY_LENGTH: [(u8, u8); LONGEST + 1] = {
    let mut table = [(0u8, 0u8); LONGEST + 1];
    let mut at = 0;
    while at < KNOWN.len() {
        let length = KNOWN[at].1.len();
        if table[length].1 == 0 {
            table[length].0 = at as u8;
        }
        // A name out of order would be unreachable; a test asks for every one of them.
        table[length].1 = at as u8 + 1;
        at += 1;
    }
    table
};

impl Name {
    /// The known name that these bytes spell, in any case.
    pub fn of(bytes: &[u8]) -> Name {
        if bytes.len() > LONGEST {
            return Name::Other;
        }
        let (from, to) = BY_LENGTH[bytes.len()];
        for (name, text) in &KNOWN[from as usize..to as usize] {
            if bytes.eq_ignore_ascii_case(text.as_bytes()) {
                return *name;
            }
        }
        Name::Other
    }
}

/// A stretch of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

impl Span {
    pub fn range(self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    known: Name,
    name: Span,
    value: Span,
}

/// Fields in order, with repetitions.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    arena: Vec<u8>,
    list: Vec<Field>,
}

impl Fields {
    pub fn with_capacity(bytes: usize, fields: usize) -> Fields {
        Fields { arena: Vec::with_capacity(bytes), list: Vec::with_capacity(fields) }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Name (as received), value; in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        self.list.iter().map(|field| (field.known, self.bytes(field.name), self.bytes(field.value)))
    }

    /// The first value under this name.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        debug_assert_ne!(name, Name::Other, "ask for an unknown name with `find`");
        self.list.iter().find(|field| field.known == name).map(|field| self.bytes(field.value))
    }

    /// All values under this name, in order.
    pub fn get_all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |field| field.known == name).map(|field| self.bytes(field.value))
    }

    /// All values under a name in any case, known or not.
    pub fn find(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.list
            .iter()
            .filter(move |field| self.bytes(field.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| self.bytes(field.value))
    }

    pub fn contains(&self, name: Name) -> bool {
        self.list.iter().any(|field| field.known == name)
    }

    /// The members of a comma-separated list over all fields of this name, blanks trimmed, empty members left out.
    pub fn members(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    /// Adds a field behind the others. The caller vouches for its bytes.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let known = Name::of(name);
        let name = self.keep(name);
        let value = self.keep(value);
        self.list.push(Field { known, name, value });
    }

    /// Adds a known field behind the others, name in lower case.
    pub fn append_known(&mut self, known: Name, value: &[u8]) {
        let name = self.keep(known.as_str().as_bytes());
        let value = self.keep(value);
        self.list.push(Field { known, name, value });
    }

    /// Puts one field in place of all of this name (in any case).
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove_named(name.as_bytes());
        self.append(name.as_bytes(), value);
    }

    pub fn remove(&mut self, name: Name) {
        self.list.retain(|field| field.known != name);
    }

    pub fn remove_named(&mut self, name: &[u8]) {
        let known = Name::of(name);
        let arena = &self.arena;
        self.list.retain(|field| field.known != known || (known == Name::Other && !arena[field.name.range()].eq_ignore_ascii_case(name)));
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Name, &[u8], &[u8]) -> bool) {
        let arena = &self.arena;
        self.list.retain(|field| keep(field.known, &arena[field.name.range()], &arena[field.value.range()]));
    }

    // ---- for those who fill an arena themselves (the codecs)

    /// Copies bytes into the arena and says where they are.
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        // Heads are limited to kilobytes by configuration, and edits add little: 4 GiB is out of reach.
        Span { at: at as u32, len: bytes.len() as u32 }
    }

    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.arena[span.range()]
    }

    /// Adds a field whose bytes are in the arena already.
    pub fn append_spans(&mut self, name: Span, value: Span) {
        let known = Name::of(self.bytes(name));
        self.list.push(Field { known, name, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for (name, text) in KNOWN {
            assert_eq!(Name::of(text.as_bytes()), *name, "{text}");
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), *name, "{text}");
        }
        for other in ["", "x", "hosts", "x-forwarded-foo", "a-name-that-is-longer-than-all-of-them"] {
            assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
        }
    }

    #[test]
    fn edits_replace_in_any_case_and_keep_the_order_of_the_rest() {
        let mut fields = Fields::default();
        fields.append(b"Host", b"a.example");
        fields.append(b"X-One", b"1");
        fields.append(b"x-one", b"2");
        fields.append(b"Cookie", b"c=d");
        fields.set("X-ONE", b"3");
        fields.remove(Name::Host);
        let seen: Vec<_> = fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(seen, [(b"Cookie".to_vec(), b"c=d".to_vec()), (b"X-ONE".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn members_run_over_repeated_fields() {
        let mut fields = Fields::default();
        fields.append(b"Connection", b"close, X-A ,,");
        fields.append(b"connection", b"x-b");
        let members: Vec<_> = fields.members(Name::Connection).collect();
        assert_eq!(members, [&b"close"[..], b"X-A", b"x-b"]);
    }
}
