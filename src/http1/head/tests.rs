use super::*;
use crate::http1::scan::METHOD_BYTES_MAX;
use crate::message::Fields;

const LIMITS: Limits = Limits { bytes: 1024, fields: 8, target: 64 };

fn read(text: &str) -> Result<Request, Failure> {
    let (request, used) = request(text.as_bytes(), &LIMITS)?.expect("the head is whole");
    assert_eq!(used, text.len(), "{text:?}");
    Ok(request)
}

fn answer(text: &str, to: Method) -> Result<Response, Failure> {
    let (response, used) = response(text.as_bytes(), &LIMITS, to)?.expect("the head is whole");
    assert_eq!(used, text.len(), "{text:?}");
    Ok(response)
}

fn with_fields(fields: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(_, name, value)| (text(name), text(value))).collect()
}

#[test]
fn a_request_is_taken_apart() {
    let text = "GET /a/b?c=d HTTP/1.1\r\nHost: a.example:8080\r\nX-One:1\r\nx-two: \t two words \t\r\nEmpty:\r\nBlank: \r\n\r\n";
    let read = read(text).unwrap();
    assert_eq!((read.head.method(), read.head.target(), read.head.version), (Method::Get, &b"/a/b?c=d"[..], Version::Http11));
    assert_eq!((read.head.path(), read.head.query(), read.head.authority()), (&b"/a/b"[..], Some(&b"c=d"[..]), &b"a.example:8080"[..]));
    let fields = [("Host", "a.example:8080"), ("X-One", "1"), ("x-two", "two words"), ("Empty", ""), ("Blank", "")];
    assert_eq!(listed(&read.head.fields), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((read.framing, read.keep_alive, read.expects_continue, read.upgrade), (Framing::Empty, true, false, false));
}

#[test]
fn what_follows_the_head_is_left_alone() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    let (_, used) = request(format!("{head}abcGET").as_bytes(), &LIMITS).unwrap().unwrap();
    assert_eq!(used, head.len());
}

#[test]
fn one_empty_line_may_come_first() {
    assert_eq!(read("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().head.authority(), b"a");
    for text in [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n GET",
    ] {
        assert_eq!(request(text.as_bytes(), &LIMITS).unwrap_err(), Failure::RequestMalformed(Malformed::StartLine), "{text:?}");
    }
}

#[test]
fn start_lines_that_are_refused() {
    use Malformed::*;
    let long = format!("{} / HTTP/1.1", "M".repeat(METHOD_BYTES_MAX + 1));
    for (line, what) in [
        ("GET  / HTTP/1.1", StartLine),
        ("GET /  HTTP/1.1", StartLine),
        (" GET / HTTP/1.1", StartLine),
        ("GET\t/ HTTP/1.1", StartLine),
        ("GET /", StartLine),
        ("GET / ", StartLine),
        ("GET", StartLine),
        ("", StartLine),
        ("G(T / HTTP/1.1", StartLine),
        ("G\0T / HTTP/1.1", StartLine),
        (": / HTTP/1.1", StartLine),
        ("GET / HTTP/1.1 ", StartLine),
        ("GET / HTTP/1.1x", StartLine),
        ("GET / http/1.1", StartLine),
        ("GET / HTTP/1,1", StartLine),
        ("GET / HTTP/11", StartLine),
        ("GET / HTTP /1.1", StartLine),
        ("GET / x HTTP/1.1", StartLine),
        (long.as_str(), StartLine),
        ("GET / HTTP/0.9", Version),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/2.0", Version),
        ("PRI * HTTP/2.0", Version),
        ("GET / HTTP/9.9", Version),
        ("GET /\rx HTTP/1.1", StartLine),
        ("GET /#f HTTP/1.1", Target),
        ("GET /\tx HTTP/1.1", Target),
        ("GET /\0 HTTP/1.1", Target),
        ("GET /\x7f HTTP/1.1", Target),
        ("GET /ä HTTP/1.1", Target),
        ("GET x HTTP/1.1", Target),
        ("GET a.example:80 HTTP/1.1", Target),
        ("GET * HTTP/1.1", Target),
        ("OPTIONS *x HTTP/1.1", Target),
        ("GET ftp://a.example/ HTTP/1.1", Target),
        ("GET http:/a.example/ HTTP/1.1", Target),
        ("GET http:// HTTP/1.1", Target),
        ("GET http:/// HTTP/1.1", Target),
        ("GET http://u@a.example/ HTTP/1.1", Target),
        ("GET http://u:p@a.example/ HTTP/1.1", Target),
        ("GET http://a.example:x/ HTTP/1.1", Target),
        ("GET http://a.example\\@b/ HTTP/1.1", Target),
    ] {
        assert_eq!(read(&format!("{line}\r\nHost: a.example\r\n\r\n")).unwrap_err(), Failure::RequestMalformed(what), "{line:?}");
    }
    for line in ["CONNECT a.example:443 HTTP/1.1", "CONNECT / HTTP/1.1"] {
        assert_eq!(read(&format!("{line}\r\nHost: a.example\r\n\r\n")).unwrap_err(), Failure::MethodUnsupported, "{line:?}");
    }
}

#[test]
fn targets_in_their_forms() {
    for (line, target) in [
        ("GET /", "/"),
        ("get /x?y?z", "/x?y?z"),
        ("GET //a.example/x", "//a.example/x"),
        ("GET /\"<>\\^`{|}", "/\"<>\\^`{|}"),
        ("OPTIONS *", "*"),
        ("OPTIONS /", "/"),
        ("GET http://a.example/x?y", "/x?y"),
        ("GET HTTPS://A.example/x", "/x"),
        ("GET http://a.example", "/"),
        ("GET http://a.example?x=/y", "/?x=/y"),
        ("GET http://a.example:80/http://b/", "/http://b/"),
        ("OPTIONS http://a.example", "*"),
        ("OPTIONS http://a.example/", "/"),
    ] {
        let read = read(&format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n")).unwrap();
        assert_eq!((read.head.target(), read.head.authority()), (target.as_bytes(), &b"a.example"[..]), "{line}");
    }
}

#[test]
fn hosts() {
    for (line, fields, authority) in [
        ("GET / HTTP/1.1", "Host: a.example\r\n", Some("a.example")),
        ("GET / HTTP/1.1", "hOST:[::1]:80\r\n", Some("[::1]:80")),
        ("GET / HTTP/1.0", "", Some("")),
        ("GET http://a.example/ HTTP/1.0", "", Some("a.example")),
        ("GET http://a.example:80/ HTTP/1.1", "Host: A.example\r\n", Some("A.example")),
        ("GET https://a.example/ HTTP/1.1", "Host: a.example:443\r\n", Some("a.example:443")),
        ("GET / HTTP/1.1", "", None),
        ("GET http://a.example/ HTTP/1.1", "", None),
        ("GET / HTTP/1.1", "Host:\r\n", None),
        ("GET / HTTP/1.0", "Host:\r\n", None),
        ("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n", None),
        ("GET / HTTP/1.0", "Host: a\r\nhost: b\r\n", None),
        ("GET / HTTP/1.1", "Host: a, b\r\n", None),
        ("GET / HTTP/1.1", "Host: u@a\r\n", None),
        ("GET / HTTP/1.1", "Host: a/b\r\n", None),
        ("GET / HTTP/1.1", "Host: a:99999\r\n", None),
        ("GET http://a.example/ HTTP/1.1", "Host: b.example\r\n", None),
        ("GET http://a.example/ HTTP/1.0", "Host: b.example\r\n", None),
        ("GET http://a.example:81/ HTTP/1.1", "Host: a.example\r\n", None),
        ("GET https://a.example/ HTTP/1.1", "Host: a.example:80\r\n", None),
    ] {
        let read = read(&format!("{line}\r\n{fields}\r\n"));
        match (authority, read) {
            (Some(authority), Ok(read)) => assert_eq!(read.head.authority(), authority.as_bytes(), "{line} {fields:?}"),
            (None, Err(failure)) => assert_eq!(failure, Failure::RequestMalformed(Malformed::Host), "{line} {fields:?}"),
            (_, other) => panic!("{line} {fields:?}: {other:?}"),
        }
    }
}

/// Field sections that no message may have, in either direction.
const REFUSED_FIELDS: &[(&str, Malformed)] = {
    use Malformed::*;
    &[
        ("X : 1\r\n", FieldName),
        ("X\t: 1\r\n", FieldName),
        (": 1\r\n", FieldName),
        ("X\r\n", FieldName),
        ("X Y: 1\r\n", FieldName),
        ("X\0: 1\r\n", FieldName),
        ("X\x7f: 1\r\n", FieldName),
        ("Xä: 1\r\n", FieldName),
        ("X(: 1\r\n", FieldName),
        ("X\": 1\r\n", FieldName),
        ("X\r: 1\r\n", FieldName),
        (" X: 1\r\n", Folded),
        ("X: 1\r\n 2\r\n", Folded),
        ("X: 1\r\n\t2\r\n", Folded),
        ("X: 1\r\n \r\n", Folded),
        ("X: 1\n", BareLineEnd),
        ("X: 1\nY: 2\r\n", BareLineEnd),
        ("X: 1\rY: 2\r\n", BareLineEnd),
        ("X: 1\r\r\n", BareLineEnd),
        ("X\n", BareLineEnd),
        ("\n", BareLineEnd),
        ("X: 1\r\n\n", BareLineEnd),
        ("\rX: 1\r\n", BareLineEnd),
        ("X: \0\r\n", FieldValue),
        ("X: abcdefghijk\x01lm\r\n", FieldValue),
        ("X: a\x0bb\r\n", FieldValue),
        ("X: a\x1fb\r\n", FieldValue),
        ("X: a\x7fb\r\n", FieldValue),
        ("X: abcdefghijklmnop\x7f\r\n", FieldValue),
        ("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3,4,5,6,7\r\n", FieldValue),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", BothFramings),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", BothFramings),
        ("Content-Length:\r\n", ContentLength),
        ("Content-Length: +5\r\n", ContentLength),
        ("Content-Length: -5\r\n", ContentLength),
        ("Content-Length: 0x5\r\n", ContentLength),
        ("Content-Length: 5 5\r\n", ContentLength),
        ("Content-Length: 5, 5\r\n", ContentLength),
        ("Content-Length: 5,\r\n", ContentLength),
        ("Content-Length: 5.0\r\n", ContentLength),
        ("Content-Length: 5;\r\n", ContentLength),
        ("Content-Length: 9223372036854775808\r\n", ContentLength),
        ("Content-Length: 18446744073709551616\r\n", ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ContentLength),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", ContentLength),
        ("Transfer-Encoding:\r\n", TransferEncoding),
        ("Transfer-Encoding: identity\r\n", TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunke\r\n", TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", FieldValue),
        ("Transfer-Encoding: \"chunked\"\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked,\r\n", TransferEncoding),
        ("Transfer-Encoding: ,chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, identity\r\n", TransferEncoding),
        ("Transfer-Encoding: identity, chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", TransferEncoding),
    ]
};

#[test]
fn fields_that_are_refused_in_both_directions() {
    for (fields, what) in REFUSED_FIELDS {
        let failure = request(with_fields(fields).as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(failure, Failure::RequestMalformed(*what), "{fields:?}");
        for line in ["HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"] {
            let failure = response(format!("{line}\r\n{fields}\r\n").as_bytes(), &LIMITS, Method::Get).unwrap_err();
            assert_eq!(failure, Failure::ResponseMalformed(*what), "{line} {fields:?}");
        }
    }
}

#[test]
fn codings_that_exist_but_that_we_do_not_speak() {
    for coding in ["gzip", "GZIP, chunked", "deflate,x-gzip ,chunked", "compress"] {
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        assert_eq!(read(&with_fields(&fields)).unwrap_err(), Failure::TransferCodingUnsupported, "{coding}");
        let failure = answer(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), Method::Get).unwrap_err();
        assert_eq!(failure, Failure::ResponseMalformed(Malformed::TransferEncoding), "{coding}");
    }
}

#[test]
fn every_byte_in_a_name_and_in_a_value() {
    for byte in 0..=255u8 {
        let name_is_good = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let value_is_good = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for distance in [0, 1, 7, 8, 9, 30] {
            let pad = vec![b'p'; distance];
            let name = [b"GET / HTTP/1.1\r\nHost: a\r\nn", &pad[..], &[byte], &pad, b"n: v\r\n\r\n"].concat();
            // A colon ends the name, which is a matter of its own.
            assert_eq!(request(&name, &LIMITS).is_ok(), name_is_good || byte == b':', "name {byte:#x} at {distance}");
            let value = [b"GET / HTTP/1.1\r\nHost: a\r\nn: v", &pad[..], &[byte], &pad, b"v\r\n\r\n"].concat();
            assert_eq!(request(&value, &LIMITS).is_ok(), value_is_good, "value {byte:#x} at {distance}");
        }
    }
}

#[test]
fn request_framing_and_what_becomes_of_the_connection() {
    let plain = (Framing::Empty, true, false, false);
    for (version, fields, expected) in [
        ("1.1", "", plain),
        ("1.0", "", (Framing::Empty, false, false, false)),
        ("1.0", "Connection: keep-alive\r\n", plain),
        ("1.0", "Connection: Keep-Alive, close\r\n", (Framing::Empty, false, false, false)),
        ("1.1", "Connection: CLOSE\r\n", (Framing::Empty, false, false, false)),
        ("1.1", "Connection: x\r\nConnection: y ,close\r\n", (Framing::Empty, false, false, false)),
        ("1.1", "Connection: closed\r\n", plain),
        ("1.1", "Content-Length: 0\r\n", (Framing::Length(0), true, false, false)),
        ("1.1", "Content-Length: 0005\r\n", (Framing::Length(5), true, false, false)),
        ("1.1", "Content-Length: 9223372036854775807\r\n", (Framing::Length(i64::MAX as u64), true, false, false)),
        ("1.1", "Transfer-Encoding: Chunked\r\n", (Framing::Chunked, true, false, false)),
        ("1.1", "Content-Length: 5\r\nExpect: 100-Continue\r\n", (Framing::Length(5), true, true, false)),
        ("1.1", "Expect: 100-continue\r\n", plain),
        ("1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n", (Framing::Length(5), false, false, false)),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", (Framing::Empty, true, false, true)),
        ("1.1", "Upgrade: websocket\r\nConnection: x,upgrade\r\n", (Framing::Empty, true, false, true)),
        ("1.1", "Upgrade: websocket\r\n", plain),
        ("1.1", "Connection: upgrade\r\n", plain),
        ("1.1", "Connection: upgrade\r\nUpgrade:\r\n", plain),
        ("1.0", "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n", plain),
        ("1.1", "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", plain),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", plain),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", (Framing::Length(1), true, false, false)),
    ] {
        let read = read(&format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!((read.framing, read.keep_alive, read.expects_continue, read.upgrade), expected, "{version} {fields:?}");
    }
    let failure = read("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err();
    assert_eq!(failure, Failure::RequestMalformed(Malformed::TransferEncoding));
}

#[test]
fn answers_framing_and_what_becomes_of_the_connection() {
    use Framing::*;
    for (line, fields, to, framing, keep_alive) in [
        ("1.1 200 OK", "", Method::Get, UntilClose, false),
        ("1.1 200 OK", "Content-Length: 5\r\n", Method::Get, Length(5), true),
        ("1.1 200 OK", "Content-Length: 5\r\nConnection: close\r\n", Method::Get, Length(5), false),
        ("1.1 200 OK", "Transfer-Encoding: chunked\r\n", Method::Get, Chunked, true),
        ("1.1 200 OK", "Content-Length: 5\r\n", Method::Head, Empty, true),
        ("1.1 200 OK", "Transfer-Encoding: chunked\r\n", Method::Head, Empty, true),
        ("1.1 200 OK", "", Method::Head, Empty, true),
        ("1.1 304 Not Modified", "Content-Length: 5\r\n", Method::Get, Empty, true),
        ("1.1 204 No Content", "", Method::Get, Empty, true),
        ("1.1 204 No Content", "Content-Length: 0\r\n", Method::Get, Empty, true),
        ("1.1 204 No Content", "Content-Length: 5\r\n", Method::Get, Empty, false),
        ("1.1 204 No Content", "Transfer-Encoding: chunked\r\n", Method::Get, Empty, false),
        ("1.1 100 Continue", "", Method::Get, Empty, true),
        ("1.1 103 Early Hints", "Link: </x>\r\n", Method::Get, Empty, true),
        ("1.1 101 Switching Protocols", "Connection: upgrade\r\nUpgrade: x\r\n", Method::Get, Empty, true),
        ("1.0 200 OK", "Content-Length: 5\r\n", Method::Get, Length(5), false),
        ("1.0 200 OK", "Content-Length: 5\r\nConnection: keep-alive\r\n", Method::Get, Length(5), true),
        ("1.0 200 OK", "Connection: keep-alive\r\n", Method::Get, UntilClose, false),
    ] {
        let read = answer(&format!("HTTP/{line}\r\n{fields}\r\n"), to).unwrap();
        assert_eq!((read.framing, read.keep_alive), (framing, keep_alive), "{line} {fields:?} {to:?}");
    }
    let failure = answer("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Get).unwrap_err();
    assert_eq!(failure, Failure::ResponseMalformed(Malformed::TransferEncoding));
}

#[test]
fn status_lines() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404 Not Found", 404, "Not Found"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.1 599 \tÄh ", 599, "\tÄh "),
        ("HTTP/1.1 100 Continue", 100, "Continue"),
    ] {
        let read = answer(&format!("{line}\r\n\r\n"), Method::Get).unwrap();
        assert_eq!((read.head.status(), read.head.reason()), (status, reason.as_bytes()), "{line}");
    }
    use Malformed::*;
    for (line, what) in [
        ("", StartLine),
        ("\r\nHTTP/1.1 200 OK", StartLine),
        ("HTTP/1.1  200 OK", StartLine),
        ("HTTP/1.1 20 OK", StartLine),
        ("HTTP/1.1 2000 OK", StartLine),
        ("HTTP/1.1 099 OK", StartLine),
        ("HTTP/1.1 600 OK", StartLine),
        ("HTTP/1.1 +20 OK", StartLine),
        ("HTTP/1.1 2x0 OK", StartLine),
        ("HTTP/1.1 200\tOK", StartLine),
        ("HTTP/1.1 200OK", StartLine),
        ("HTTP/1.1 200 O\0K", StartLine),
        ("HTTP/1.1 200 O\x7fK", StartLine),
        ("HTTP/1.1 200 OK\n", BareLineEnd),
        ("HTTP/1.1 200 OK\rX", BareLineEnd),
        ("HTTP/1.1", StartLine),
        ("http/1.1 200 OK", StartLine),
        ("ICY 200 OK", StartLine),
        ("HTTP/2.0 200 OK", Version),
        ("HTTP/1.2 200 OK", Version),
        ("HTTP/0.9 200 OK", Version),
    ] {
        let failure = response(format!("{line}\r\n\r\n").as_bytes(), &LIMITS, Method::Get).unwrap_err();
        assert_eq!(failure, Failure::ResponseMalformed(what), "{line:?}");
    }
}

#[test]
fn limits_hold_before_the_head_is_whole() {
    let line = |length: usize| format!("GET /{}", "x".repeat(length - 1));
    assert_eq!(request(line(64).as_bytes(), &LIMITS).unwrap().map(|_| ()), None);
    assert_eq!(request(line(65).as_bytes(), &LIMITS).unwrap_err(), Failure::TargetTooLong);
    assert!(read(&format!("{} HTTP/1.1\r\nHost: a\r\n\r\n", line(64))).is_ok());

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(count - 1));
    assert!(read(&format!("{}\r\n", fields(8))).is_ok());
    assert_eq!(request(fields(9).as_bytes(), &LIMITS).unwrap_err(), Failure::HeadTooLarge);
    let answered = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(9));
    assert_eq!(response(answered.as_bytes(), &LIMITS, Method::Get).unwrap_err(), Failure::ResponseHeadTooLarge);

    for (start, failure) in
        [("GET / HTTP/1.1\r\nHost: a\r\nX: ", Failure::HeadTooLarge), ("HTTP/1.1 200 OK\r\nX: ", Failure::ResponseHeadTooLarge)]
    {
        let parse = |bytes: &[u8]| match failure {
            Failure::HeadTooLarge => request(bytes, &LIMITS).map(|done| done.map(|(_, used)| used)),
            _ => response(bytes, &LIMITS, Method::Get).map(|done| done.map(|(_, used)| used)),
        };
        let of_length = |length: usize| format!("{start}{}\r\n\r\n", "v".repeat(length - start.len() - 4)).into_bytes();
        assert_eq!(parse(&of_length(1024)), Ok(Some(1024)), "{start:?}");
        assert_eq!(parse(&of_length(1025)), Err(failure), "{start:?}");
        assert_eq!(parse(&of_length(2000)[..1023]), Ok(None), "{start:?}");
        assert_eq!(parse(&of_length(2000)[..1024]), Err(failure), "{start:?}");
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_parsed_a_few_times_only() {
    let limits = Limits { bytes: 32 * 1024, ..LIMITS };
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(20_000));
    let mut resume = Resume::default();
    let mut parsed = 0;
    for end in 1..=head.len() {
        if resume.is_due(&head.as_bytes()[..end], &limits) {
            parsed += 1;
            let done = request(&head.as_bytes()[..end], &limits).unwrap();
            assert_eq!(done.is_some(), end == head.len());
        }
    }
    assert!(parsed < 20, "parsed {parsed} times");
    assert_eq!(resume.parsed, head.len(), "the last byte made the head due");
}
