//! Cache directives: `Cache-Control` of answers and of requests, and the field that is meant for caches like this one (RFC 9213).
//!
//! Names in any case, values as tokens or quoted, over any number of field lines. What contradicts itself is read the safe way: of
//! two lifetimes the shorter counts, and one that is no number counts as none at all.

use std::time::Duration;

use super::times::seconds;
use crate::message::{Fields, Name, Names};

/// Fields that an answer may forbid to keep with it. Each is looked for among all of its fields.
const WITHHELD_MAX: usize = 64;
/// Members of a targeted field. Each is compared with all behind it.
const MEMBERS_MAX: usize = 64;

/// What an answer says about being kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    pub no_store: bool,
    /// For the answer as a whole; a list of fields is in `withheld`.
    pub no_cache: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
    /// Fields that may not be kept: those that `no-cache` and `private` list.
    pub withheld: Vec<Vec<u8>>,
    /// It was said to caches like this one, so neither `Cache-Control` nor `Expires` counts.
    pub targeted: bool,
}

impl Control {
    pub fn of(fields: &Fields) -> Control {
        if fields.may_have(Names::of(&[Name::CdnCacheControl]))
            && let Some(targeted) = targeted(fields.get_all(Name::CdnCacheControl))
        {
            return targeted;
        }
        let mut control = Control::default();
        for directive in fields.get_all(Name::CacheControl).flat_map(directives) {
            control.take(&directive);
        }
        control
    }

    fn take(&mut self, directive: &Directive<'_>) {
        let shorter = |known: &mut Option<Duration>| {
            let said = directive.value.and_then(seconds).unwrap_or_default();
            *known = Some(known.map_or(said, |known| known.min(said)));
        };
        match &*directive.name.to_ascii_lowercase() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache |= !self.withhold(directive),
            b"private" => self.private |= !self.withhold(directive),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"max-age" => shorter(&mut self.max_age),
            b"s-maxage" => shorter(&mut self.s_maxage),
            b"stale-while-revalidate" => shorter(&mut self.stale_while_revalidate),
            b"stale-if-error" => shorter(&mut self.stale_if_error),
            // `immutable` speaks of reloads, which a shared cache does not see; the rest is unknown.
            _ => {}
        }
    }

    /// `false`: it lists no fields, or more than anybody means, and so means all of the answer.
    fn withhold(&mut self, directive: &Directive<'_>) -> bool {
        let names = directive.value.unwrap_or_default().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let before = self.withheld.len();
        self.withheld.extend(names.filter(|name| !name.is_empty()).take(WITHHELD_MAX + 1).map(<[u8]>::to_vec));
        self.withheld.len() > before && self.withheld.len() <= WITHHELD_MAX
    }
}

/// What a request demands of an answer from a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demands {
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    pub max_age: Option<Duration>,
    pub min_fresh: Duration,
    /// Beyond its lifetime; `None`: not at all.
    pub max_stale: Option<Duration>,
    pub stale_if_error: Option<Duration>,
}

impl Demands {
    pub fn of(fields: &Fields) -> Demands {
        let mut demands = Demands::default();
        if !fields.may_have(Names::of(&[Name::CacheControl, Name::Pragma])) {
            return demands;
        }
        for directive in fields.get_all(Name::CacheControl).flat_map(directives) {
            let said = directive.value.and_then(seconds);
            let shortest = |known: Option<Duration>| Some(known.unwrap_or(Duration::MAX).min(said.unwrap_or_default()));
            match &*directive.name.to_ascii_lowercase() {
                b"no-cache" => demands.no_cache = true,
                b"no-store" => demands.no_store = true,
                b"only-if-cached" => demands.only_if_cached = true,
                b"max-age" => demands.max_age = shortest(demands.max_age),
                b"min-fresh" => demands.min_fresh = demands.min_fresh.max(said.unwrap_or_default()),
                b"max-stale" if directive.value.is_none() => demands.max_stale = demands.max_stale.or(Some(Duration::MAX)),
                b"max-stale" => demands.max_stale = shortest(demands.max_stale),
                b"stale-if-error" => demands.stale_if_error = shortest(demands.stale_if_error),
                _ => {}
            }
        }
        // RFC 9111 5.4: the word of HTTP/1.0 counts where there is no other.
        if !fields.contains(Name::CacheControl) {
            demands.no_cache = fields.get_all(Name::Pragma).flat_map(directives).any(|word| word.name.eq_ignore_ascii_case(b"no-cache"));
        }
        demands
    }
}

/// One member of a list of directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directive<'a> {
    name: &'a [u8],
    /// Without the quotes. Escapes within quotes stay: no value that means anything here has one.
    value: Option<&'a [u8]>,
}

fn directives(line: &[u8]) -> Directives<'_> {
    Directives { rest: line }
}

struct Directives<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let end = self.rest.iter().position(|byte| matches!(byte, b',' | b'=')).unwrap_or(self.rest.len());
            let name = self.rest[..end].trim_ascii();
            let has_value = self.rest.get(end) == Some(&b'=');
            self.rest = &self.rest[(end + 1).min(self.rest.len())..];
            let value = has_value.then(|| self.value());
            if !name.is_empty() {
                return Some(Directive { name, value });
            }
        }
    }
}

impl<'a> Directives<'a> {
    /// What stands behind `=`, to behind the comma that ends it.
    fn value(&mut self) -> &'a [u8] {
        let text = self.rest.trim_ascii_start();
        let (value, rest) = match text.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = closing_quote(quoted);
                (&quoted[..end], &quoted[(end + 1).min(quoted.len())..])
            }
            None => {
                let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
                (text[..end].trim_ascii(), &text[end..])
            }
        };
        let end = rest.iter().position(|byte| *byte == b',').map_or(rest.len(), |at| at + 1);
        self.rest = &rest[end..];
        value
    }
}

/// Where the quoted text ends; where nothing closes it, at its end.
fn closing_quote(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// A targeted field: a dictionary of RFC 8941, or it does not count at all. Its keys are in lower case, and the last of two counts.
fn targeted<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Control> {
    let text = lines.collect::<Vec<_>>().join(&b',');
    let members = dictionary(&text).filter(|members| members.len() <= MEMBERS_MAX)?;
    let mut control = Control { targeted: true, ..Control::default() };
    for (at, (name, item)) in members.iter().enumerate() {
        // RFC 9213 2.1: what is of the wrong type can not be read as the field it is in.
        if is_of_seconds(name) && !item.is_some_and(Item::is_integer) {
            return None;
        }
        let is_last = members[at + 1..].iter().all(|(other, _)| other != name);
        if is_last && *item != Some(Item::Bare(b"?0")) {
            control.take(&Directive { name, value: item.filter(|item| *item != Item::Bare(b"?1")).map(Item::text) });
        }
    }
    (!members.is_empty()).then_some(control)
}

fn is_of_seconds(name: &[u8]) -> bool {
    matches!(name, b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error")
}

/// What a key of a dictionary stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item<'a> {
    /// Anything but a string, as it is written.
    Bare(&'a [u8]),
    /// Without its quotes.
    Text(&'a [u8]),
}

impl<'a> Item<'a> {
    fn text(self) -> &'a [u8] {
        let (Item::Bare(text) | Item::Text(text)) = self;
        text
    }

    fn is_integer(self) -> bool {
        let Item::Bare(text) = self else { return false };
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    }
}

/// Keys with their items; parameters are left out. `None`: it is no dictionary.
fn dictionary(text: &[u8]) -> Option<Vec<(&[u8], Option<Item<'_>>)>> {
    let mut members = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let (key, behind) = split(rest, is_key_byte);
        if !key.first().is_some_and(|first| first.is_ascii_lowercase() || *first == b'*') {
            return None;
        }
        rest = behind;
        let mut value = None;
        if let Some(behind) = rest.strip_prefix(b"=") {
            let (item, behind) = item(behind)?;
            (value, rest) = (Some(item), behind);
        }
        while let Some(behind) = rest.strip_prefix(b";") {
            let (parameter, behind) = split(behind.trim_ascii_start(), is_key_byte);
            if parameter.is_empty() {
                return None;
            }
            rest = behind;
            if let Some(behind) = rest.strip_prefix(b"=") {
                rest = item(behind)?.1;
            }
        }
        members.push((key, value));
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(b",")?.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

fn item(text: &[u8]) -> Option<(Item<'_>, &[u8])> {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let end = closing_quote(quoted);
        return (end < quoted.len()).then(|| (Item::Text(&quoted[..end]), &quoted[end + 1..]));
    }
    if text.starts_with(b"(") {
        let end = text.iter().position(|byte| *byte == b')')?;
        return Some((Item::Bare(&text[..=end]), &text[end + 1..]));
    }
    let (value, rest) = split(text, |byte| !matches!(byte, b',' | b';' | b' ' | b'\t' | b'"' | b'(' | b')'));
    (!value.is_empty()).then_some((Item::Bare(value), rest))
}

fn split(text: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !belongs(*byte)).unwrap_or(text.len()))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(name: &str, lines: &[&str]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|line| fields.append(name.as_bytes(), line.as_bytes()));
        fields
    }

    fn control(lines: &[&str]) -> Control {
        Control::of(&fields("Cache-Control", lines))
    }

    #[test]
    fn lifetimes_are_read_the_safe_way() {
        for (lines, expected) in [
            (&["max-age=3600"][..], Some(3600)),
            (&["MaX-aGe=3600"], Some(3600)),
            (&["foobar, max-age=3600"], Some(3600)),
            (&["max-age=\"3600\""], Some(3600)),
            (&["max-age=003600"], Some(3600)),
            (&["max-age=1800, max-age=1"], Some(1)),
            (&["max-age=1", "max-age=1800"], Some(1)),
            (&["max-age='3600'"], Some(0)),
            (&["max-age=-3600"], Some(0)),
            (&["max-age=3600.5"], Some(0)),
            (&["max-age=a3600"], Some(0)),
            (&["max-age"], Some(0)),
            (&["max-age=99999999999"], Some(1 << 31)),
            (&["extension=\"max-age=3600\", max-age=1"], Some(1)),
            (&["extension=\"a\\\", max-age=3600\", max-age=1"], Some(1)),
            (&["max-age=1, extension=\"max-age=3600"], Some(1)),
            (&["no-store"], None),
            (&["", ",,", "="], None),
        ] {
            assert_eq!(control(lines).max_age, expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn lists_of_fields_narrow_what_they_stand_behind() {
        let listed = control(&["private=\"Set-Cookie, a\", no-cache=b, max-age=1"]);
        assert_eq!((listed.private, listed.no_cache), (false, false));
        assert_eq!(listed.withheld, [&b"Set-Cookie"[..], b"a", b"b"]);
        for whole in ["private", "Private", "private=\"\"", "private=\" , \"", "private=\"a\", private"] {
            assert!(control(&[whole]).private, "{whole}");
        }
        assert!(control(&["No-CaChE"]).no_cache);
        let many = vec!["a"; WITHHELD_MAX + 1].join(",");
        assert!(control(&[&format!("private=\"{many}\"")]).private, "more than anybody means");
        assert!(control(&["no-store=foo"]).no_store);
    }

    #[test]
    fn requests_say_what_they_want() {
        let demands = |lines: &[&str]| Demands::of(&fields("Cache-Control", lines));
        let seconds = Duration::from_secs;
        assert_eq!(demands(&[]), Demands::default());
        assert_eq!(demands(&["max-age=5, max-age=3"]).max_age, Some(seconds(3)));
        assert_eq!(demands(&["max-stale"]).max_stale, Some(Duration::MAX));
        assert_eq!(demands(&["max-stale=7, max-stale"]).max_stale, Some(seconds(7)));
        assert_eq!(demands(&["max-stale=x"]).max_stale, Some(Duration::ZERO));
        assert_eq!(demands(&["min-fresh=2, min-fresh=9"]).min_fresh, seconds(9));
        assert!(demands(&["only-if-cached, no-store"]).only_if_cached);
        assert!(demands(&["NO-CACHE"]).no_cache);
        assert!(Demands::of(&fields("Pragma", &["a, no-cache"])).no_cache);
        let mut both = fields("Pragma", &["no-cache"]);
        both.append(b"Cache-Control", b"max-age=1");
        assert!(!Demands::of(&both).no_cache);
    }

    #[test]
    fn what_is_meant_for_us_counts_alone() {
        let said = |targeted: &str| {
            let mut fields = fields("CDN-Cache-Control", &[targeted]);
            fields.append(b"Cache-Control", b"no-store");
            Control::of(&fields)
        };
        let ten = Some(Duration::from_secs(10));
        for text in
            ["max-age=10", "max-age=10;x=1", "a=(1 2), max-age=10", "max-age=99, max-age=10", "x=\"a,b\", max-age=10", "max-age=10, a=?0"]
        {
            assert_eq!((said(text).max_age, said(text).no_store, said(text).targeted), (ten, false, true), "{text}");
        }
        assert!(said("no-store").no_store && said("no-store=?1").no_store && !said("no-store=?0").no_store);
        assert_eq!(said("max-age=-1").max_age, Some(Duration::ZERO));
        let many = vec!["a"; MEMBERS_MAX + 1].join(",");
        for broken in [
            "max-age=a",
            "max-age=\"10\"",
            "max-age",
            "max-age=1.5",
            "max-age=(10)",
            "s-maxage=?1",
            &*many,
            "",
            "MAX-AGE=10",
            "max-age=10,",
            "max-age=10 b",
            "=3",
            "a=\"",
            "max-age=",
            ";a",
        ] {
            assert!(!said(broken).targeted && said(broken).no_store, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'='), Just(b'\\'), Just(b';'), any::<u8>()], 0..60)) {
            let mut fields = Fields::default();
            fields.append(b"Cache-Control", &text);
            fields.append(b"CDN-Cache-Control", &text);
            fields.append(b"Pragma", &text);
            let _ = (Control::of(&fields), Demands::of(&fields));
            // Each step takes something away, so the walk ends; and names are never empty.
            prop_assert!(directives(&text).all(|directive| !directive.name.is_empty()));
        }

        #[test]
        fn no_store_is_found_wherever_it_stands(before in "([a-z-]{1,8}(=([a-z0-9]{0,4}|\"[a-z,=0-9]{0,8}\"))?, ?){0,4}", after in "(,[a-z=\", ]{0,12})?") {
            let line = [before, "No-Store".to_owned(), after].concat();
            prop_assert!(control(&[&line]).no_store);
        }
    }
}
