//! Heads against a slow, simple reader, and against themselves: cut, written, mutated. `PROPTEST_CASES` makes the run as long as
//! one likes.

use crate::message::Fields;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::http1::scan::METHOD_BYTES_MAX;
use crate::http1::writer;
use crate::spoil::spoil;

const LIMITS: Limits = Limits { bytes: 600, fields: 8, target: 40 };

/// What a reader without cleverness makes of a whole request head: fields and framing, or nothing. It looks at lines, knows no
/// positions, and shares no code with the parser.
fn reference(head: &[u8]) -> Option<(Vec<(String, String)>, Framing)> {
    let text: String = head.strip_prefix(b"\r\n").unwrap_or(head).iter().map(|byte| char::from(*byte)).collect();
    let text = text.strip_suffix("\r\n\r\n")?;
    let mut lines = text.split("\r\n");
    let start: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, version] = start[..] else { return None };
    let is_token = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
    if !is_token(method) || method.len() > METHOD_BYTES_MAX || method == "CONNECT" || !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return None;
    }
    if target.len() > LIMITS.target || !target.chars().all(|c| ('!'..='~').contains(&c) && c != '#') {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || value.chars().any(|c| c != '\t' && (c < ' ' || c == '\x7f')) {
            return None;
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let named = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str()).collect()
    };
    let (_, rest) = target.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http")).unwrap_or(("", ""));
    let authority = rest.split(['/', '?']).next()?;
    if !(target.starts_with('/') || (target == "*" && method == "OPTIONS") || is_host(authority)) {
        return None;
    }
    match named("host")[..] {
        [] if version == "HTTP/1.0" => {}
        [host] if is_host(host) && (authority.is_empty() || bare(authority) == bare(host)) => {}
        _ => return None,
    }
    let options: usize = named("connection").iter().map(|value| value.split(',').count()).sum();
    let framing = match (&named("content-length")[..], &named("transfer-encoding")[..]) {
        ([], []) => Framing::Empty,
        ([length], []) if !length.starts_with(['+', '-']) => Framing::Length(length.parse::<i64>().ok()? as u64),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => Framing::Chunked,
        _ => return None,
    };
    (fields.len() <= LIMITS.fields && head.len() <= LIMITS.bytes && options <= OPTIONS_MAX).then_some((fields, framing))
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
        && (1..=5).contains(&port.len())
        && port.chars().all(|c| c.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

fn bare(authority: &str) -> (String, u16) {
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    (host.to_ascii_lowercase(), port.parse().expect("it is a host"))
}

fn start_line() -> impl Strategy<Value = String> {
    let method = select(vec!["GET", "POST", "OPTIONS", "X-Y", "get", "CONNECT", "G T", ""]);
    let target = select(vec![
        "/",
        "/a?b",
        "*",
        "http://a.example/x",
        "HTTP://b:81?q",
        "a:80",
        "/#",
        "/\u{1}",
        "",
        "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", "http/1.1"]);
    (method, target, version).prop_map(|(method, target, version)| format!("{method} {target} {version}"))
}

/// Mostly lines that hurt somebody once.
fn field_line() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "Host: a.example",
            "host:a.example:80",
            "Host: b:81",
            "Host: ",
            "Content-Length: 5",
            "content-length:0",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: 9223372036854775808",
            "Transfer-Encoding: chunked",
            "transfer-encoding:CHUNKED\t",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding:\n chunked",
            "Connection: close",
            "Connection: keep-alive, x",
            "Expect: 100-continue",
            "Upgrade: websocket",
            " folded",
            "\tfolded",
            "X",
            ": x",
            "X:",
        ])
        .prop_map(str::to_owned),
        ("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", "[ \t]{0,2}[ -~\u{80}-\u{ff}\t]{0,40}").prop_map(|(name, value)| format!("{name}:{value}")),
    ]
}

/// Whole heads as bytes (one per character), most of them wrong somewhere.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), select(b"\r\n\0 \t:,;x5\x7f\x80\xff/".to_vec()), 0..3u8);
    let host = select(vec!["Host: a.example", "Host: a.example", ""]);
    (start_line(), host, vec(field_line(), 0..9), vec(edit, 0..2), any::<bool>()).prop_map(|(start, host, fields, edits, leading)| {
        let mut lines = vec![start];
        lines.extend((!host.is_empty()).then(|| host.to_owned()));
        lines.extend(fields);
        let text = format!("{}{}\r\n\r\n", if leading { "\r\n" } else { "" }, lines.join("\r\n"));
        let mut bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
        spoil(&mut bytes, edits);
        bytes
    })
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    fields.iter().map(|(_, name, value)| (text(name), text(value))).collect()
}

/// All that a caller can see of a result.
fn seen(result: Result<Option<(Request, usize)>, Failure>) -> Result<Option<String>, Failure> {
    result.map(|done| {
        done.map(|(request, used)| {
            let Request { head, framing, keep_alive, expects_continue, upgrade } = request;
            let start = (text(head.method_bytes()), text(head.target()), text(head.authority()), head.version);
            format!("{start:?} {:?} {framing:?} {keep_alive} {expects_continue} {upgrade} {used}", listed(&head.fields))
        })
    })
}

proptest! {
    #[test]
    fn requests_are_read_as_a_simple_reader_does(bytes in any_head()) {
        // The simple reader wants one whole head, so what an edit has put behind the first empty line goes.
        let skip = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let end = bytes[skip..].windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| skip + at + 4);
        let bytes = &bytes[..end];
        match (request(bytes, &LIMITS), reference(bytes)) {
            (Ok(Some((read, used))), Some((fields, framing))) => {
                prop_assert_eq!(used, bytes.len());
                prop_assert_eq!(listed(&read.head.fields), fields);
                prop_assert_eq!(read.framing, framing);
            }
            (Err(_) | Ok(None), None) => {}
            (read, reference) => prop_assert!(false, "read {:?}, the reference {:?}", seen(read), reference),
        }
    }

    #[test]
    fn a_prefix_is_incomplete_or_meets_the_same_fate(bytes in any_head()) {
        let whole = seen(request(&bytes, &LIMITS));
        let mut resume = Resume::default();
        let mut resumed = Ok(None);
        for end in 0..=bytes.len() {
            let part = seen(request(&bytes[..end], &LIMITS));
            prop_assert!(part == Ok(None) || part == whole, "{} of {}: {:?}, {:?}", end, bytes.len(), part, whole);
            if resumed == Ok(None) && resume.is_due(&bytes[..end], &LIMITS) {
                resumed = part;
            }
        }
        if let Ok(Some(_)) = whole {
            prop_assert_eq!(resumed, whole, "nobody looked when the end was there");
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        method in "[A-Z]{1,8}", target in "/[!-\"$-~]{0,30}", host in "[a-z][a-z0-9.]{0,10}",
        list in vec(("X[A-Za-z0-9!#$%&'*+.^_`|~-]{0,20}", "([!-~\u{80}-\u{ff}]([ -~\u{80}-\u{ff}\t]{0,40}[!-~\u{80}-\u{ff}])?)?", 0..4u8), 0..7),
    ) {
        prop_assume!(method != "CONNECT");
        // Fields that came in lines, in lines with odd blanks, and fields that were edited in.
        let bytes: Vec<u8> = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
        let mut bytes = bytes;
        for (name, value, kind) in &list {
            match kind {
                0 => bytes.extend([name.as_bytes(), b": ", &latin(value), b"\r\n"].concat()),
                1 => bytes.extend([name.as_bytes(), b":\t ", &latin(value), b" \r\n"].concat()),
                2 => bytes.extend([b"Y".as_slice(), name.as_bytes(), b": gone\r\n"].concat()),
                _ => {}
            }
        }
        bytes.extend(b"\r\n");
        let mut head = request(&bytes, &LIMITS).unwrap().unwrap().0.head;
        for (name, value, kind) in &list {
            match kind {
                2 => head.fields.remove_named(format!("y{name}").as_bytes()),
                3 => head.fields.append(name.as_bytes(), &latin(value)),
                _ => {}
            }
        }
        let mut out = Vec::new();
        writer::request_head(&head, Framing::Empty, writer::Connection::Persistent, &mut out);
        let (again, used) = request(&out, &Limits { bytes: 4096, ..LIMITS }).unwrap().unwrap();
        prop_assert_eq!(used, out.len());
        prop_assert_eq!((again.head.method_bytes(), again.head.target(), again.head.authority()), (method.as_bytes(), target.as_bytes(), host.as_bytes()));
        prop_assert_eq!(listed(&again.head.fields), listed(&head.fields));
        prop_assert_eq!(head.fields.len(), 1 + list.iter().filter(|(_, _, kind)| *kind != 2).count());
    }

    #[test]
    fn answers_are_read_back_and_cut_ones_are_incomplete(
        status in 100..600u16, reason in "([!-~]([ -~]{0,20}[!-~])?)?", list in vec(("X[a-z-]{0,20}", "([!-~]{1,40})?"), 0..8),
    ) {
        let mut head = Head::response(status, reason.as_bytes(), Version::Http11);
        for (name, value) in &list {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        writer::response_head(&head, Framing::Empty, writer::Connection::Persistent, None, &mut out);
        let limits = Limits { bytes: 4096, ..LIMITS };
        for end in 0..out.len() {
            prop_assert!(matches!(response(&out[..end], &limits, Method::Head), Ok(None)), "{} of {}", end, out.len());
        }
        let (again, used) = response(&out, &limits, Method::Head).unwrap().unwrap();
        prop_assert_eq!((used, again.head.status(), again.head.reason()), (out.len(), status, reason.as_bytes()));
        prop_assert_eq!(listed(&again.head.fields), listed(&head.fields));
    }

    #[test]
    fn no_bytes_are_fatal(bytes in vec(prop_oneof![any::<u8>(), select(b"\r\n: /GETHTTP1.0".to_vec())], 0..200), start in 0..4usize) {
        let bytes = [[&b""[..], b"GET / HTTP/1.1\r\n", b"GET ", b"HTTP/1.1 200 "][start], &bytes].concat();
        for end in 0..=bytes.len() {
            let _ = request(&bytes[..end], &LIMITS);
            let _ = response(&bytes[..end], &LIMITS, Method::Get);
        }
    }
}
