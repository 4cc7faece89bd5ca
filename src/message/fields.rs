//! Header or trailer fields: one arena of bytes, spans into it, and edits appended behind.
//!
//! A field is two spans and a number: names that the proxy itself acts on are recognised once, when the field is added, so that
//! every later question ("is there a Connection field?") compares small integers, and one for a name that never came is a bit
//! test. Name case and order are kept as received.
//!
//! Most fields lie in the arena as a whole line, `name: value` with its CRLF: those that came so over HTTP/1, and those appended
//! here. An HTTP/1 writer then copies runs of lines instead of putting each together from four pieces; nobody else has to care.

use std::ops::Range;

macro_rules! names {
    ($( $name:ident = $text:literal, )+) => {
        /// A field name that the proxy acts on, or `Other`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name { $( $name, )+ Other }

        const KNOWN: &[(Name, &str)] = &[$( (Name::$name, $text), )+];

        impl Name {
            /// All that are known, in the order of their numbers.
            pub const KNOWN: &[Name] = &[$( Name::$name, )+];

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
    Etag = "etag",
    Host = "host",
    Vary = "vary",
    Proxy = "proxy",
    Range = "range",
    Accept = "accept",
    Cookie = "cookie",
    Expect = "expect",
    Pragma = "pragma",
    Server = "server",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Referer = "referer",
    Expires = "expires",
    IfMatch = "if-match",
    IfRange = "if-range",
    Location = "location",
    Forwarded = "forwarded",
    Connection = "connection",
    KeepAlive = "keep-alive",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
    CacheStatus = "cache-status",
    ContentType = "content-type",
    MaxForwards = "max-forwards",
    CacheControl = "cache-control",
    ContentRange = "content-range",
    IfNoneMatch = "if-none-match",
    LastModified = "last-modified",
    Authorization = "authorization",
    ContentLength = "content-length",
    HttpTwoSettings = "http2-settings",
    XClientSubject = "x-client-subject",
    XForwardedFor = "x-forwarded-for",
    ContentLocation = "content-location",
    CdnCacheControl = "cdn-cache-control",
    IfModifiedSince = "if-modified-since",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    ProxyConnection = "proxy-connection",
    XForwardedProto = "x-forwarded-proto",
    TransferEncoding = "transfer-encoding",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    IfUnmodifiedSince = "if-unmodified-since",
}

/// First and last bytes of a name, overlapping where it is short: all of it, up to sixteen bytes. Case is folded by the one bit in
/// which letters differ; of the bytes that a field name may have, no other two become the same letter, digit or hyphen.
const fn key(name: &[u8]) -> (u64, u64) {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64),
            _ => match name {
                [one, .., last] => (u16::from_le_bytes([*one, name[1]]) as u64, *last as u64),
                _ => (0, 0),
            },
        },
    };
    (first | FOLD, last | FOLD)
}

const KEYS: [(u64, u64); KNOWN.len()] = {
    let mut keys = [(0, 0); KNOWN.len()];
    let mut at = 0;
    while at < KNOWN.len() {
        keys[at] = key(KNOWN[at].1.as_bytes());
        at += 1;
    }
    keys
};

/// Where in `KNOWN` the name of each hash stands; `NOWHERE`: no name has it.
const SLOTS: [u8; 256] = match slots(FACTOR) {
    Some(slots) => slots,
    None => panic!("FACTOR is one that keeps the known names apart"),
};
const NOWHERE: u8 = u8::MAX;

/// Makes a perfect hash of the known names: the first that does, found when this is compiled.
const FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15;
    while slots(factor).is_none() {
        factor = factor.wrapping_mul(5).wrapping_add(2);
    }
    factor
};

const fn hash((first, last): (u64, u64), factor: u64) -> usize {
    ((first ^ last.rotate_left(29)).wrapping_mul(factor) >> 56) as usize
}

const fn slots(factor: u64) -> Option<[u8; 256]> {
    let mut slots = [NOWHERE; 256];
    let mut at = 0;
    while at < KNOWN.len() {
        let slot = hash(KEYS[at], factor);
        if slots[slot] != NOWHERE {
            return None;
        }
        slots[slot] = at as u8;
        at += 1;
    }
    Some(slots)
}

impl Name {
    /// No known name is longer than this.
    pub const LONGEST: usize = 19;

    /// The known name that these bytes (of a valid field name) spell, in any case.
    pub fn of(bytes: &[u8]) -> Name {
        let key = key(bytes);
        let at = SLOTS[hash(key, FACTOR)] as usize;
        let (Some((name, text)), Some(known)) = (KNOWN.get(at), KEYS.get(at)) else { return Name::Other };
        let same = *known == key && text.len() == bytes.len() && (bytes.len() <= 16 || bytes.eq_ignore_ascii_case(text.as_bytes()));
        if same { *name } else { Name::Other }
    }

    /// Whether these bytes (of a valid field name) spell a known name but for underscores in place of hyphens.
    pub fn is_mimicked_by(bytes: &[u8]) -> bool {
        // `key` turns an underscore, and nothing else, into this. It sees all of a name up to sixteen bytes.
        const UNDERSCORES: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        const EACH: u64 = 0x0101_0101_0101_0101;
        let has_one = |word: u64| (word ^ UNDERSCORES).wrapping_sub(EACH) & !(word ^ UNDERSCORES) & (EACH * 0x80) != 0;
        let (first, last) = key(bytes);
        if bytes.len() > Name::LONGEST || (bytes.len() <= 16 && !has_one(first) && !has_one(last)) || !bytes.contains(&b'_') {
            return false;
        }
        let as_hyphens: Vec<u8> = bytes.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        Name::of(&as_hyphens) != Name::Other
    }

    /// As a member of a `Names`; `Other` has a bit too.
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of names, `Other` being one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names(u64);

impl Names {
    pub const fn of(names: &[Name]) -> Names {
        let mut bits = 0;
        let mut at = 0;
        while at < names.len() {
            bits |= names[at].bit();
            at += 1;
        }
        Names(bits)
    }

    pub const fn contains(self, name: Name) -> bool {
        self.0 & name.bit() != 0
    }

    pub const fn with(self, name: Name) -> Names {
        Names(self.0 | name.bit())
    }

    pub const fn without(self, name: Name) -> Names {
        Names(self.0 & !name.bit())
    }

    pub const fn overlaps(self, others: Names) -> bool {
        self.0 & others.0 != 0
    }
}

/// RFC 9110 5.6.2: names of fields and methods are tokens, and much else is.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A number in decimal, without allocation.
pub fn digits(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}

/// A stretch of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

impl Span {
    pub fn end(self) -> usize {
        self.at as usize + self.len as usize
    }

    pub fn range(self) -> Range<usize> {
        self.at as usize..self.end()
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    known: Name,
    /// Name and value are two parts of a whole line in the arena.
    line: bool,
    name: Span,
    value: Span,
}

/// How a field's bytes lie in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// `name: value` and CRLF, in one stretch.
    Line(Range<usize>),
    Apart {
        name: Span,
        value: Span,
    },
}

/// Fields in order, with repetitions.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    arena: Vec<u8>,
    list: Vec<Field>,
    /// Names that may be in the list: none is missing here, some may have been edited away since.
    seen: Names,
}

impl Fields {
    /// These, in this order.
    #[cfg(test)]
    pub fn of(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        list.iter().for_each(|(name, value)| fields.append(name.as_bytes(), value.as_bytes()));
        fields
    }

    pub fn with_capacity(bytes: usize, fields: usize) -> Fields {
        Fields { arena: Vec::with_capacity(bytes), list: Vec::with_capacity(fields), seen: Names::default() }
    }

    /// Forgets everything but its room. `false`: there is too much of it to be kept.
    pub fn clear_for_reuse(&mut self) -> bool {
        const ARENA_BYTES_MAX: usize = 8 << 10;
        const FIELDS_MAX: usize = 128;
        self.arena.clear();
        self.list.clear();
        self.seen = Names::default();
        self.arena.capacity() <= ARENA_BYTES_MAX && self.list.capacity() <= FIELDS_MAX
    }

    /// Puts a copy of `others` in place of what is here, in the room that is here.
    pub fn copy_from(&mut self, others: &Fields) {
        self.arena.clear();
        self.arena.extend_from_slice(&others.arena);
        self.list.clear();
        self.list.extend_from_slice(&others.list);
        self.seen = others.seen;
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
        self.get_all(name).next()
    }

    /// All values under this name, in order.
    pub fn get_all(&self, name: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        let list = if self.seen.contains(name) { &self.list[..] } else { &[] };
        list.iter().filter(move |field| field.known == name).map(|field| self.bytes(field.value))
    }

    /// All values under a name in any case, known or not.
    pub fn find(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.list
            .iter()
            .filter(move |field| self.bytes(field.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| self.bytes(field.value))
    }

    pub fn contains(&self, name: Name) -> bool {
        self.seen.contains(name) && self.list.iter().any(|field| field.known == name)
    }

    /// Whether fields of these names may be there: certainly not where it says no. Costs one instruction, not a walk.
    pub fn may_have(&self, names: Names) -> bool {
        self.seen.overlaps(names)
    }

    /// The members of a comma-separated list over all fields of this name, blanks trimmed, empty members left out.
    pub fn members(&self, name: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.get_all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    /// Adds a field behind the others. The caller vouches for its bytes.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        self.append_line(Name::of(name), name, value);
    }

    /// Adds a known field behind the others, name in lower case.
    pub fn append_known(&mut self, known: Name, value: &[u8]) {
        self.append_line(known, known.as_str().as_bytes(), value);
    }

    /// Adds a known field whose line is at hand: its name as `Name::as_str` has it, `: `, value, CRLF.
    pub fn append_ready(&mut self, known: Name, line: &[u8]) {
        let whole = self.keep(line);
        let len = known.as_str().len() as u32;
        let name = Span { at: whole.at, len };
        let value = Span { at: whole.at + len + 2, len: whole.len - len - 4 };
        debug_assert_eq!([known.as_str().as_bytes(), b": ", self.bytes(value), b"\r\n"].concat(), line);
        self.push(Field { known, line: true, name, value });
    }

    /// Adds a known field with a value that stands elsewhere in this arena.
    pub fn append_copy(&mut self, known: Name, value: Span) {
        let name = self.keep(known.as_str().as_bytes());
        self.arena.extend_from_slice(b": ");
        let at = self.arena.len() as u32;
        self.arena.extend_from_within(value.range());
        self.arena.extend_from_slice(b"\r\n");
        self.push(Field { known, line: true, name, value: Span { at, ..value } });
    }

    fn append_line(&mut self, known: Name, name: &[u8], value: &[u8]) {
        self.arena.reserve(name.len() + value.len() + 4);
        let name = self.keep(name);
        self.arena.extend_from_slice(b": ");
        let value = self.keep(value);
        self.arena.extend_from_slice(b"\r\n");
        self.push(Field { known, line: true, name, value });
    }

    /// Adds all fields of `others` behind these.
    pub fn extend(&mut self, others: &Fields) {
        let base = self.arena.len() as u32;
        self.arena.extend_from_slice(&others.arena);
        let moved = |span: Span| Span { at: span.at + base, ..span };
        self.list.extend(others.list.iter().map(|field| Field { name: moved(field.name), value: moved(field.value), ..*field }));
        self.seen = Names(self.seen.0 | others.seen.0);
    }

    /// Puts one field in place of all of this name (in any case).
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove_named(name.as_bytes());
        self.append(name.as_bytes(), value);
    }

    pub fn remove(&mut self, name: Name) {
        self.remove_all(Names::of(&[name]));
    }

    /// Removes every field whose name is in the set.
    pub fn remove_all(&mut self, names: Names) {
        if self.seen.overlaps(names) {
            self.list.retain(|field| !names.contains(field.known));
            self.seen = Names(self.seen.0 & !names.0);
        }
    }

    pub fn remove_named(&mut self, name: &[u8]) {
        match Name::of(name) {
            Name::Other => self.retain(|known, other, _| known != Name::Other || !other.eq_ignore_ascii_case(name)),
            known => self.remove(known),
        }
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

    /// Adds a field whose bytes are in the arena, or will be before anybody asks for them. `line`: see `Layout::Line`.
    pub fn append_spans(&mut self, known: Name, name: Span, value: Span, line: bool) {
        self.push(Field { known, line, name, value });
    }

    /// Puts what the spans point into in front of an arena that is empty yet, with room for some edits behind.
    pub fn fill(&mut self, bytes: &[u8], room: usize) {
        debug_assert!(self.arena.is_empty(), "spans count from the beginning of the arena");
        self.arena.reserve(bytes.len() + room);
        self.arena.extend_from_slice(bytes);
    }

    /// For each field in order, where it is in `arena`.
    pub fn layout(&self) -> impl Iterator<Item = (Name, Layout)> {
        self.list.iter().map(|field| {
            let Field { known, line, name, value } = *field;
            (known, if line { Layout::Line(name.at as usize..value.end() + 2) } else { Layout::Apart { name, value } })
        })
    }

    /// For each field in order, where its name and its value are in `arena`.
    pub fn spans(&self) -> impl Iterator<Item = (Name, Span, Span)> {
        self.list.iter().map(|field| (field.known, field.name, field.value))
    }

    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    fn push(&mut self, field: Field) {
        self.seen = self.seen.with(field.known);
        self.list.push(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for (name, text) in KNOWN {
            assert!((*name as u8) < 64, "a set of names is 64 bits");
            assert_eq!(Name::of(text.as_bytes()), *name, "{text}");
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), *name, "{text}");
        }
        for other in [
            "",
            "x",
            "t",
            "ta",
            "hosts",
            "Hosu",
            "x-forwarded-foo",
            "transfer_encoding",
            "transferqencoding",
            "a-name-that-is-longer-than-all",
        ] {
            assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
        }
    }

    #[test]
    fn underscores_in_place_of_hyphens_are_seen_through() {
        for (_, text) in KNOWN {
            assert!(!Name::is_mimicked_by(text.as_bytes()), "{text}");
            let spelled = text.to_ascii_uppercase().replace('-', "_");
            assert_eq!(Name::is_mimicked_by(spelled.as_bytes()), text.contains('-'), "{spelled}");
        }
        for other in
            ["", "_", "a_b", "under_score", "x_forwarded_foo", "x-forwarded-for-", "transfer_encodings", "a_name_longer_than_all_known"]
        {
            assert!(!Name::is_mimicked_by(other.as_bytes()), "{other}");
        }
        assert!(Name::is_mimicked_by(b"x-forwarded_for"));
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
