use http::Request;

use super::*;

fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn lines(head: &Head) -> Vec<String> {
    head.fields.iter().map(|(_, name, value)| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))).collect()
}

#[test]
fn a_request_reads_as_if_it_had_come_by_the_older_protocol() {
    let fields = [("x-one", "1"), ("cookie", "a=b"), ("accept", "*/*"), ("cookie", "c=d; e"), ("content-length", "12")];
    let (head, length) = request(&parts("http://a.example:81/p/q?r=s", &fields), 100).expect("it is in order");
    assert_eq!((head.target(), head.authority(), head.version), (&b"/p/q?r=s"[..], &b"a.example:81"[..], Version::Http2));
    assert_eq!(length, Some(12));
    assert_eq!(lines(&head), ["host: a.example:81", "x-one: 1", "accept: */*", "content-length: 12", "cookie: a=b; c=d; e"]);
}

#[test]
fn what_would_change_its_meaning_is_refused() {
    for (uri, fields, what) in [
        ("http://a/", &[("x", " 1")][..], Malformed::FieldValue),
        ("http://a/", &[("x", "1\t")], Malformed::FieldValue),
        ("http://a/", &[("x", " ")], Malformed::FieldValue),
        ("http://u@a/", &[], Malformed::Host),
        ("http://u:p@a/", &[], Malformed::Host),
        ("http://a/", &[("host", "b")], Malformed::Host),
        ("http://a:80/", &[("host", "a:81")], Malformed::Host),
        ("http://a/", &[("host", "a"), ("host", "a")], Malformed::Host),
        ("/", &[], Malformed::Host),
        ("/", &[("host", "a,b")], Malformed::Host),
        ("*", &[("host", "a")], Malformed::Target),
        ("http://a/", &[("content-length", "1"), ("content-length", "1")], Malformed::ContentLength),
        ("http://a/", &[("content-length", "+1")], Malformed::ContentLength),
        ("http://a/", &[("content-length", "")], Malformed::ContentLength),
        ("http://a/", &[("content-length", "9223372036854775808")], Malformed::ContentLength),
        ("http://a/", &[("connection", "close")], Malformed::FieldName),
        ("http://a/", &[("http2-settings", "AAAA")], Malformed::FieldName),
    ] {
        let refused = request(&parts(uri, fields), 100).expect_err(&format!("{uri} {fields:?}"));
        assert_eq!(refused, Failure::RequestMalformed(what), "{uri} {fields:?}");
    }
}

#[test]
fn an_authority_and_a_host_that_agree_are_one() {
    for (uri, host) in [("http://a.example/", "A.example:80"), ("https://a.example:443/", "a.example"), ("/", "a.example")] {
        let (head, _) = request(&parts(uri, &[("host", host)]), 100).expect("they agree");
        assert_eq!(head.fields.get_all(Name::Host).count(), 1, "{uri} {host}");
    }
}

#[test]
fn limits_hold_and_crumbs_are_one_field() {
    let many: Vec<_> = (0..50).map(|_| ("cookie", "a=b")).collect();
    assert!(request(&parts("http://a/", &many), 2).is_ok());
    let refused = request(&parts("http://a/", &[("x", "1"), ("y", "2"), ("z", "3")]), 3).expect_err("four with the host");
    assert_eq!(refused, Failure::HeadTooLarge);
    let long = format!("http://a/{}", "x".repeat(TARGET_BYTES_MAX));
    assert_eq!(request(&parts(&long, &[]), 100).expect_err("too long"), Failure::TargetTooLong);
}

fn answer(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::response(status, b"Whatever", Version::Http11);
    head.fields.extend(&Fields::of(fields));
    head
}

#[test]
fn an_answer_loses_what_means_its_connection_and_says_its_length_once() {
    let fields = [
        ("Connection", "x-hop"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "x"),
        ("Content-Length", "5"),
        ("X-Custom", "1"),
        ("Set-Cookie", "a"),
        ("set-cookie", "b"),
        ("Date", "now"),
    ];
    for (length, expected) in
        [(None, Some("5")), (Some(Length::Exact(7)), Some("7")), (Some(Length::Exact(0)), Some("0")), (Some(Length::Unknown), None)]
    {
        let response = response(&answer(200, &fields), length).expect("it can be said");
        let said = response.headers().get("content-length").map(|value| value.to_str().expect("digits"));
        assert_eq!(said, expected, "{length:?}");
        let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names.retain(|name| *name != "content-length");
        assert_eq!(names, ["date", "set-cookie", "x-custom"]);
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    }
}

#[test]
fn interim_answers_and_204_say_nothing_of_a_length() {
    for status in [103, 204] {
        let response = response(&answer(status, &[("Content-Length", "5")]), None).expect("it can be said");
        assert!(!response.headers().contains_key("content-length"), "{status}");
        assert_eq!(response.headers().contains_key("date"), status == 204, "{status}");
    }
}

#[test]
fn trailers_pass_but_for_those_that_may_not_be_there() {
    let mut map = HeaderMap::new();
    for (name, value) in [("grpc-status", "0"), ("content-length", "5"), ("authorization", "x"), ("x-sum", "abc")] {
        map.append(name, HeaderValue::from_static(value));
    }
    let fields = trailers_in(&map).expect("two are left");
    let names: Vec<_> = fields.iter().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names, ["grpc-status", "x-sum"]);
    assert_eq!(trailers_out(&fields).len(), 2);
}

#[test]
fn a_length_is_said_where_there_may_be_content() {
    let said = |status: u16, length| {
        let mut head = Head::response(status, b"", Version::Http11);
        head.fields.append(b"Content-Length", b"7");
        let response = response(&head, length).expect("it can be said");
        response.headers().get("content-length").map(|value| value.to_str().expect("digits").to_owned())
    };
    for (status, length, expected) in [
        (200, None, Some("7")),
        (304, None, Some("7")),
        (200, Some(Length::Exact(5)), Some("5")),
        (200, Some(Length::Exact(0)), Some("0")),
        (200, Some(Length::Unknown), None),
        (204, None, None),
        (204, Some(Length::Exact(5)), None),
        (103, None, None),
    ] {
        assert_eq!(said(status, length).as_deref(), expected, "{status} {length:?}");
    }
}
