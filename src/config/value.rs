//! What one string of the file means: durations, sizes, addresses, networks, hosts, paths, header fields.
//!
//! Each function takes the text and returns the value or the mistake with what would be right; none knows where the text stands.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;

use super::model::{DnsName, Faults, HashOn, HostPattern, PathPattern, Statuses};
use super::suggest;
use crate::address::{Address, PATH_BYTES_MAX, UNIX};
use crate::failure::Malformed;
use crate::message::fields::is_token;
use crate::message::path;

/// Why a text is not the value that its key wants.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mistake {
    pub message: String,
    pub help: Option<String>,
}

impl Mistake {
    pub fn new(message: impl Into<String>) -> Mistake {
        Mistake { message: message.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }
}

/// Longer is surely a mistake, and adding it to a clock must never overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// The clocks that measure these durations are no finer.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// `500ms`, `1m 30s`, `1h`. `zero`: whether `0s` has a meaning.
pub(super) fn duration(text: &str, zero: bool) -> Result<Duration, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a duration", text.escape_debug()));
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong().help(format!("a duration has a unit: \"{text}s\" or \"{text}ms\"")));
    }
    let signed: SignedDuration =
        text.parse().map_err(|_| wrong().help("write a number and a unit, such as \"500ms\", \"30s\", \"1m 30s\" or \"1h\""))?;
    let duration =
        Duration::try_from(signed).map_err(|_| Mistake::new(format!("`{text}` is negative")).help("a duration is zero or more"))?;
    if duration.is_zero() && !zero {
        return Err(Mistake::new("a duration of zero makes no sense here").help("the shortest is \"1ms\""));
    }
    if !duration.is_zero() && duration < DURATION_MIN {
        return Err(Mistake::new(format!("`{text}` is too short")).help("the shortest is \"1ms\""));
    }
    if duration > DURATION_MAX {
        return Err(Mistake::new(format!("`{text}` is too long")).help("the longest is \"8760h\", a year"));
    }
    Ok(duration)
}

/// `20%`: in whole per cent, at most 100.
pub(super) fn share(text: &str) -> Result<u32, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a share", text.escape_debug()));
    let Some(number) = text.strip_suffix('%') else {
        let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        return Err(wrong().help(if all_digits { format!("write \"{text}%\"") } else { "write per cent, such as \"20%\"".to_owned() }));
    };
    match number.trim_end().parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        Ok(_) => Err(Mistake::new(format!("`{text}` is more than all")).help("a share is at most \"100%\"")),
        Err(_) => Err(wrong().help("write whole per cent, such as \"20%\"")),
    }
}

/// A number of bytes; displayed in the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub u64);

/// Binary units first: a size is displayed in the first of these that divides it, so `64KiB` never turns into `65536B`.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// `512B`, `16KiB`, `1MB`: a whole number and a unit, 1024 or 1000 as the unit says.
pub(super) fn size(text: &str) -> Result<Size, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a size", text.escape_debug()));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if unit.is_empty() && digits > 0 {
        return Err(wrong().help(format!("a size has a unit: \"{text}B\" or \"{text}KiB\"")));
    }
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, unit)| *unit);
    let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.map(Size).ok_or_else(|| wrong().help("write a whole number and a unit, such as \"512B\", \"16KiB\", \"1MB\" or \"1GiB\""))
}

/// `200`, `200-399`.
pub(super) fn statuses(text: &str) -> Result<Statuses, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a status, nor a range of them", text.escape_debug()));
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status: u16 = text.parse().ok().filter(|_| digits)?;
        (200..=599).contains(&status).then_some(status)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (status(first.trim()), status(last.trim())) {
        (Some(first), Some(last)) if first <= last => Ok(Statuses { first, last }),
        (Some(first), Some(last)) => Err(wrong().help(format!("the lower one stands first: \"{last}-{first}\""))),
        _ => Err(wrong().help("write one from 200 to 599 such as \"200\", or a range such as \"200-399\"")),
    }
}

/// One word of what may count as an error of a backend, put in.
pub(super) fn fault(text: &str, faults: &mut Faults) -> Result<(), Mistake> {
    match text {
        "connect" => faults.connect = true,
        "reset" => faults.reset = true,
        "timeout" => faults.timeout = true,
        "malformed" => faults.malformed = true,
        "5xx" => faults.statuses.push(Statuses { first: 500, last: 599 }),
        other => match statuses(other) {
            Ok(statuses) if statuses.first >= 400 => faults.statuses.push(statuses),
            Ok(_) => return Err(Mistake::new(format!("`{other}` is no error of a backend")).help("statuses from 400 up can be")),
            Err(_) => {
                let known = "there are \"connect\", \"reset\", \"timeout\", \"malformed\", \"5xx\", and statuses such as \"503\"";
                return Err(Mistake::new(format!("`{}` is not an error that can eject", other.escape_debug())).help(known));
            }
        },
    }
    Ok(())
}

/// The path of a probe, query included: sent as it is.
pub(super) fn probe_path(text: &str) -> Result<String, Mistake> {
    if !text.starts_with('/') {
        return Err(Mistake::new(format!("`{}` is not a path", text.escape_debug())).help("a path begins with `/`: \"/healthz\""));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Mistake::new(format!("`{}` cannot be asked for", text.escape_debug()))
            .help("blanks, `#` and letters beyond ASCII stand percent-encoded in a path: \"%20\""));
    }
    Ok(text.to_owned())
}

/// The value of `Host`: a name or an address, with or without a port.
pub(super) fn probe_host(text: &str) -> Result<String, Mistake> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(Mistake::new(format!("`{}` is not a host", text.escape_debug())).help("write a name such as \"app.example.com\""));
    }
    Ok(text.to_owned())
}

/// `127.0.0.1:8080`, `[::1]:8080`. Names are not addresses.
pub(super) fn address(text: &str) -> Result<SocketAddr, Mistake> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.starts_with(UNIX) {
        return Err(Mistake::new("a Unix socket cannot stand here").help("write an IP address and a port, such as \"127.0.0.1:8080\""));
    }
    let wrong = Mistake::new(format!("`{}` is not an IP address and a port", text.escape_debug()));
    let port = |text: &str| !text.is_empty() && text.parse::<u16>().is_ok();
    Err(match text.rsplit_once(':') {
        Some(("", tail)) if port(tail) => {
            wrong.help(format!("write \"0.0.0.0:{tail}\" for all IPv4 addresses, \"[::]:{tail}\" for all of IPv6"))
        }
        Some(("localhost", tail)) if port(tail) => wrong.help(format!("write \"127.0.0.1:{tail}\"")),
        Some(("*", tail)) if port(tail) => wrong.help(format!("write \"0.0.0.0:{tail}\"")),
        _ if text.parse::<Ipv6Addr>().is_ok() => wrong.help(format!("write \"[{text}]:8080\"; the port is missing")),
        _ if text.parse::<IpAddr>().is_ok() => wrong.help(format!("the port is missing: \"{text}:8080\"")),
        _ if port(text) => wrong.help(format!("write \"127.0.0.1:{text}\" or \"0.0.0.0:{text}\"")),
        _ if text.contains("://") => wrong.help("leave the scheme and the path out: \"10.0.0.1:8080\""),
        Some((host, tail)) if port(tail) && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
            wrong.help(format!("write the address of `{host}`, such as \"10.0.0.1:{tail}\""))
        }
        _ => wrong.help("write an IP address and a port, such as \"10.0.0.1:8080\" or \"[::1]:8080\""),
    })
}

/// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`.
pub(super) fn any_address(text: &str) -> Result<Address, Mistake> {
    let Some(path) = text.strip_prefix(UNIX) else { return address(text).map(Address::Ip) };
    let wrong = || Mistake::new(format!("`{}` is not a Unix socket", text.escape_debug()));
    if !path.starts_with('/') {
        let meant = if path.is_empty() { "run/app.sock" } else { path.trim_start_matches("./") };
        return Err(wrong().help(format!("its path begins with `/`: \"unix:/{meant}\"")));
    }
    if path.ends_with('/') || path.contains('\0') {
        return Err(wrong().help("write the path of a socket, such as \"unix:/run/app.sock\""));
    }
    if path.len() > PATH_BYTES_MAX {
        let message = format!("the path of a Unix socket has at most {PATH_BYTES_MAX} bytes, this one has {}", path.len());
        return Err(Mistake::new(message).help("a shorter path, or a symbolic link to the directory"));
    }
    Ok(Path::new(path).into())
}

/// `660`: who may do what with a file, in octal.
pub(super) fn mode(text: &str) -> Result<u32, Mistake> {
    let digits = text.strip_prefix('0').unwrap_or(text);
    let plain = digits.len() == 3 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    u32::from_str_radix(digits, 8).ok().filter(|_| plain).ok_or_else(|| {
        Mistake::new(format!("`{}` is not the mode of a file", text.escape_debug()))
            .help("write three octal digits: \"660\" for owner and group, \"666\" for everybody")
    })
}

/// An address to connect to. A name belongs under another key, so that nobody takes one lookup at the start for more than it is.
pub(super) fn backend_address(text: &str) -> Result<Address, Mistake> {
    any_address(text).map_err(|mistake| match dns_name(text) {
        Ok(name) => {
            let local = matches!(&name, DnsName::Host { name, .. } if name == "localhost");
            let or = if local { format!("\"{}\", or ", text.replace("localhost", "127.0.0.1")) } else { String::new() };
            Mistake::new(format!("`{name}` is a name, not an address")).help(format!("write {or}`{{ dns = \"{name}\" }}`"))
        }
        Err(_) => mistake,
    })
}

/// A name server: an address, at port 53 where it says no other.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, Mistake> {
    text.parse::<IpAddr>().map(|address| SocketAddr::from((address, 53))).or_else(|_| address(text))
}

/// `app.internal:8080`, or `_http._tcp.app.internal`.
pub(super) fn dns_name(text: &str) -> Result<DnsName, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a DNS name and a port", text.escape_debug()));
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
        return Err(Mistake::new(format!("`{text}` is an address, not a name")).help("an address has its own key: `address`"));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let name = name.to_ascii_lowercase();
    let bare = name.strip_suffix('.').unwrap_or(&name);
    if bare.is_empty() || bare.len() > 253 || !bare.split('.').all(is_label) {
        return Err(wrong().help("write a name such as \"app.internal:8080\", or \"_http._tcp.app.internal\" for SRV records"));
    }
    let is_service = bare.starts_with('_') && bare.split('.').nth(1).is_some_and(|label| label.starts_with('_'));
    match (is_service, port) {
        (true, None) => Ok(DnsName::Service(name)),
        (true, Some(_)) => Err(wrong().help(format!("SRV records have ports of their own: \"{name}\""))),
        (false, None) => Err(wrong().help(format!("the port is missing: \"{name}:8080\""))),
        (false, Some(port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(DnsName::Host { name, port }),
            _ => Err(wrong().help(format!("a port is a number from 1 to 65535: \"{name}:8080\""))),
        },
    }
}

/// One part of a name between its dots. The underscore is not for hosts, but is met in them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// `10.0.0.0/8`, `fd00::/8`; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, Mistake> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        Mistake::new(format!("`{}` is not a network", text.escape_debug()))
            .help("write an address and the bits that count, such as \"10.0.0.0/8\"")
    })
}

/// The name of a listener or a pool: it becomes a metric label, a word of the log and an argument on the command line.
pub(super) fn name(text: &str) -> Result<(), Mistake> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        let message = format!("`{}` cannot be a name", text.escape_debug());
        return Err(Mistake::new(message).help("a name has 1 to 64 letters, digits, `_`, `-` and `.`"));
    }
    Ok(())
}

/// What a route is called in logs and metrics.
pub(super) fn route_name(text: &str) -> Result<String, Mistake> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        let message = format!("`{}` cannot be a name", text.escape_debug());
        return Err(Mistake::new(message).help("the name of a route has 1 to 128 bytes and no control characters"));
    }
    Ok(text.to_owned())
}

/// `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]`.
pub(super) fn host(text: &str) -> Result<HostPattern, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a host", text.escape_debug()));
    if text == "*" {
        return Err(wrong().help("leave `host` out to match every host"));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| wrong().help("an IPv6 address stands in brackets: \"[2001:db8::1]\""))?;
        return Ok(HostPattern::Exact(format!("[{address}]")));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(wrong().help(format!("an IPv6 address stands in brackets: \"[{text}]\"")));
    }
    if text.contains("://") || text.contains('/') {
        return Err(wrong().help("a host has no scheme and no path; the path has its own key: `path`"));
    }
    if let Some((bare, _)) = text.split_once(':') {
        return Err(wrong().help(format!("ports are not looked at: \"{bare}\"")));
    }
    if !text.is_ascii() {
        return Err(wrong().help("write the name as it is sent, in Punycode: \"xn--...\""));
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('.').unwrap_or(&lower);
    let (suffix, wildcard) = match bare.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (bare, false),
    };
    if suffix.contains('*') {
        return Err(wrong().help("a `*` stands for whole labels at the front only: \"*.example.com\""));
    }
    if suffix.len() > 253 || !suffix.split('.').all(is_label) {
        return Err(wrong().help("write a name such as \"example.com\" or \"*.example.com\""));
    }
    Ok(if wildcard { HostPattern::Wildcard(suffix.to_owned()) } else { HostPattern::Exact(suffix.to_owned()) })
}

/// One host by its name, in the form that names are compared in.
pub(super) fn name_of_host(text: &str) -> Result<String, Mistake> {
    let wrong = |help: &str| Mistake::new(format!("`{}` is not the name of a host", text.escape_debug())).help(help.to_owned());
    if text.contains('*') {
        return Err(wrong("write each name whole: \"tidegate.monitoring.svc\""));
    }
    match host(text)? {
        HostPattern::Exact(name) if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() => {
            Err(wrong("addresses need not be listed; take it out"))
        }
        HostPattern::Exact(name) | HostPattern::Wildcard(name) => Ok(name),
    }
}

/// `/exact`, or `/prefix/*`.
pub(super) fn path_pattern(text: &str) -> Result<PathPattern, Mistake> {
    let stem = text.strip_suffix("/*");
    let normal = normal_path(stem.unwrap_or(text), stem.is_some())?;
    Ok(if stem.is_some() { PathPattern::Prefix(normal) } else { PathPattern::Exact(normal) })
}

/// What `strip_prefix` takes off: a path that does not end at a `/`.
pub(super) fn strip_prefix(text: &str) -> Result<String, Mistake> {
    if text.ends_with("/*") {
        return Err(Mistake::new(format!("`{}` has a `*`", text.escape_debug())).help(format!("write \"{}\"", text.trim_end_matches("/*"))));
    }
    if text == "/" {
        return Err(Mistake::new("`/` leaves nothing to strip").help("leave `rewrite` out, or name the segments that go: \"/api\""));
    }
    if text.starts_with('/') && text.ends_with('/') {
        let message = format!("`{}` ends in `/`", text.escape_debug());
        return Err(Mistake::new(message).help(format!("write \"{}\"; it is taken off at a segment boundary", text.trim_end_matches('/'))));
    }
    normal_path(text, false)
}

/// The form in which the paths of requests are compared, so that a pattern matches every spelling of what it names.
/// `stem`: what stands before `/*`, which may be nothing.
fn normal_path(text: &str, stem: bool) -> Result<String, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a path", text.escape_debug()));
    if stem && text.is_empty() {
        return Ok(String::new());
    }
    if !text.starts_with('/') {
        return Err(wrong().help(match text {
            "*" | "" => "leave `path` out to match every path".to_owned(),
            _ if text.contains("://") => "a path has no scheme and no host; the host has its own key: `host`".to_owned(),
            _ => format!("a path begins with `/`: \"/{}\"", text.trim_end_matches(['*', '/'])),
        }));
    }
    if text.contains('*') {
        let before = text.split('*').next().unwrap_or_default().trim_end_matches('/');
        let message = "a `*` may only stand at the end of a path, behind a `/`";
        return Err(Mistake::new(message).help(format!("a path is exact, or a prefix of whole segments: \"{before}/*\"")));
    }
    if text.contains('?') {
        return Err(wrong().help("a path has no query; the query has its own key: `query = { name = \"value\" }`"));
    }
    path::normalise(text.as_bytes()).map(Cow::into_owned).map_err(|malformed| {
        wrong().help(match malformed {
            Malformed::Target => "blanks, `#` and control characters stand percent-encoded in a path: \"%20\"",
            _ => "requests with `.` or `..` as a segment, a backslash, an encoded NUL or a broken `%` are refused",
        })
    })
}

/// A request method; they are case-sensitive.
pub(super) fn method(text: &str) -> Result<String, Mistake> {
    let wrong = || Mistake::new(format!("`{}` is not a method", text.escape_debug()));
    if !is_token(text.as_bytes()) {
        return Err(wrong().help("write a method such as \"GET\", or leave `method` out to match every method"));
    }
    let upper = text.to_ascii_uppercase();
    let standard = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    if text != upper && standard.contains(&upper.as_str()) {
        return Err(wrong().help(format!("methods are case-sensitive: \"{upper}\"")));
    }
    Ok(text.to_owned())
}

/// `uri`, `path`, `client_ip`, `header:NAME`, `cookie:NAME`, `query:NAME`.
pub(super) fn hash_on(text: &str) -> Result<HashOn, Mistake> {
    let wrong = || Mistake::new(format!("`{}` cannot be hashed", text.escape_debug()));
    match (text, text.split_once(':')) {
        ("uri", _) => Ok(HashOn::Uri),
        ("path", _) => Ok(HashOn::Path),
        ("client_ip", _) => Ok(HashOn::ClientIp),
        (_, Some((of, ""))) if ["header", "cookie", "query"].contains(&of) => {
            Err(wrong().help(format!("the name is missing: \"{of}:session\"")))
        }
        (_, Some(("header", name))) if is_token(name.as_bytes()) => Ok(HashOn::Header(name.to_ascii_lowercase())),
        (_, Some(("header", _))) => Err(wrong().help("the name of a header field has letters, digits and `-`: \"header:x-user\"")),
        (_, Some(("cookie", name))) if is_token(name.as_bytes()) => Ok(HashOn::Cookie(name.to_owned())),
        (_, Some(("cookie", _))) => Err(wrong().help("the name of a cookie has letters, digits and `-`: \"cookie:session\"")),
        (_, Some(("query", name))) => Ok(HashOn::Query(name.to_owned())),
        ("header" | "cookie" | "query", _) => Err(wrong().help(format!("the name is missing: \"{text}:session\""))),
        _ => {
            let there_are = "there are \"uri\", \"path\", \"client_ip\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\"";
            let words = ["uri", "path", "client_ip", "header", "cookie", "query"];
            Err(wrong().help(match suggest::closest(text.split(':').next().unwrap_or_default(), words) {
                Some(word) if words[..3].contains(&word) => format!("did you mean \"{word}\"? {there_are}"),
                Some(word) => format!("did you mean \"{word}:NAME\"? {there_are}"),
                None => there_are.to_owned(),
            }))
        }
    }
}

/// RFC 9110, 5.5: no control bytes but the tab, no blank at either end.
pub(super) fn field_value(text: &str) -> Result<(), Mistake> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Mistake::new("control characters cannot stand in the value of a header field"));
    }
    if text != text.trim_matches([' ', '\t']) {
        return Err(Mistake::new("a blank at either end of a header field's value would be lost").help("take it off"));
    }
    Ok(())
}

/// Those that frame a message or belong to one connection: the proxy writes them itself, and an edit could only break the framing.
const CONNECTION_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a field that an edit may touch.
pub(super) fn edited_field(text: &str) -> Result<(), Mistake> {
    if !is_token(text.as_bytes()) {
        let message = format!("`{}` is not the name of a header field", text.escape_debug());
        return Err(Mistake::new(message).help("letters, digits and `-`, without the colon"));
    }
    if CONNECTION_FIELDS.contains(&text.to_ascii_lowercase().as_str()) {
        let message = format!("`{text}` cannot be edited");
        return Err(Mistake::new(message).help("it belongs to one connection or frames the message; the proxy writes it itself"));
    }
    Ok(())
}

/// Where a redirect points: sent in `Location` as it is.
pub(super) fn redirect_target(text: &str) -> Result<String, Mistake> {
    let wrong = || Mistake::new(format!("`{}` cannot be redirected to", text.escape_debug()));
    let absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')));
    if !absolute && !text.starts_with('/') {
        return Err(wrong().help("write an absolute URL such as \"https://example.com/new/\", or a path that begins with `/`"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong().help("blanks, control characters and letters beyond ASCII stand percent-encoded in a URL: \"%20\""));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("500ms", Some(ms(500))),
            ("1s", Some(ms(1000))),
            ("1m 30s", Some(ms(90_000))),
            ("1h", Some(ms(3_600_000))),
            ("1.5s", Some(ms(1500))),
            ("PT90S", Some(ms(90_000))),
            ("8760h", Some(Duration::from_secs(365 * 24 * 3600))),
            ("8761h", None),
            ("0s", None),
            ("999us", None),
            ("-1s", None),
            ("30", None),
            ("", None),
            ("s", None),
            ("soon", None),
            ("1 month", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text, false).ok(), expected, "{text}");
        }
        assert_eq!(duration("0s", true), Ok(Duration::ZERO));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0B", Some(0)),
            ("512B", Some(512)),
            ("16KiB", Some(16 << 10)),
            ("16 KiB", Some(16 << 10)),
            ("16kib", Some(16 << 10)),
            ("1MB", Some(1_000_000)),
            ("1kB", Some(1000)),
            ("2GiB", Some(2 << 30)),
            ("1TiB", Some(1 << 40)),
            ("16", None),
            ("KiB", None),
            ("", None),
            ("-1B", None),
            ("1.5MiB", None),
            ("16K", None),
            ("1 KiB ", None),
            ("99999999999TiB", None),
            ("99999999999999999999B", None),
        ] {
            assert_eq!(size(text).ok(), expected.map(Size), "{text}");
        }
        for (bytes, shown) in
            [(0, "0B"), (1, "1B"), (1024, "1KiB"), (1000, "1KB"), (256 << 20, "256MiB"), (1025, "1025B"), (1_000_000, "1MB")]
        {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }

    #[test]
    fn dns_names() {
        let host = |name: &str, port| Some(DnsName::Host { name: name.into(), port });
        for (text, expected) in [
            ("app.internal:8080", host("app.internal", 8080)),
            ("App:80", host("app", 80)),
            ("app.internal.:80", host("app.internal.", 80)),
            ("under_score.internal:80", host("under_score.internal", 80)),
            ("_http._tcp.App.internal", Some(DnsName::Service("_http._tcp.app.internal".into()))),
            ("_http._tcp.app.internal:80", None),
            ("_http.app.internal", None),
            ("app.internal", None),
            ("app.internal:0", None),
            ("app.internal:65536", None),
            ("app.internal:", None),
            ("app..internal:80", None),
            (":80", None),
            (".:80", None),
            ("10.0.0.1:80", None),
            ("[::1]:80", None),
            ("::1", None),
            ("http://app.internal:80", None),
        ] {
            assert_eq!(dns_name(text).ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_size_is_read_as_it_is_shown(bytes: u64) {
            prop_assert_eq!(size(&Size(bytes).to_string()), Ok(Size(bytes)));
        }

        #[test]
        fn a_duration_is_read_as_the_reload_report_shows_it(millis in 1u64..365 * 24 * 3_600_000) {
            let written = Duration::from_millis(millis);
            let shown = format!("{:#}", SignedDuration::try_from(written).unwrap());
            prop_assert_eq!(duration(&shown, false), Ok(written));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = (duration(&text, true), size(&text), backend_address(&text), name_server(&text), network(&text), name(&text), route_name(&text), host(&text));
            let _ = (hash_on(&text), path_pattern(&text), strip_prefix(&text), method(&text), field_value(&text), edited_field(&text), redirect_target(&text));
        }
    }
}
