use proptest::prelude::*;

use super::*;

fn request(version: Version, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::request(b"GET", b"/", b"a.example", version);
    for (name, value) in fields {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    head
}

fn hop() -> Hop {
    Hop::new("[::ffff:192.0.2.7]:50000".parse().unwrap(), "10.0.0.1:8080".parse().unwrap(), false)
}

fn listed(head: &Head) -> Vec<String> {
    head.fields.iter().map(|(_, name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii())).collect()
}

type FieldsAndExpected<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

const OURS: [&str; 5] =
    ["x-forwarded-for: 192.0.2.7", "x-forwarded-proto: http", "x-forwarded-port: 8080", "x-forwarded-host: a.example", "via: 1.1 tidegate"];

#[test]
fn hop_by_hop_fields_end_here_and_take_along_what_connection_names() {
    let host = ("Host", "a.example");
    let cases: &[FieldsAndExpected<'_>] = &[
        (&[("Accept", "*/*")], &["Accept: */*"]),
        (&[("Connection", "close"), ("Close", "x")], &["Close: x"]),
        (&[("Connection", "X-One, keep-alive"), ("x-one", "1"), ("X-Two", "2"), ("Keep-Alive", "5")], &["X-Two: 2"]),
        (&[("Connection", "x-one"), ("Connection", ", X-Two"), ("x-one", "1"), ("X-Two", "2")], &[]),
        (&[("Proxy-Connection", "close"), ("Transfer-Encoding", "chunked"), ("HTTP2-Settings", "x"), ("Upgrade", "x")], &[]),
        (&[("Proxy-Authorization", "Basic x"), ("Proxy-Authenticate", "Basic"), ("Proxy", "http://evil/")], &[]),
        (
            &[
                ("Connection", "host, Content-Length, authorization, cookie"),
                ("Content-Length", "5"),
                ("Authorization", "x"),
                ("Cookie", "c"),
            ],
            &["Content-Length: 5", "Authorization: x", "Cookie: c"],
        ),
        (&[("TE", "trailers"), ("Connection", "TE")], &["te: trailers", "connection: te"]),
        (&[("TE", "gzip, Trailers"), ("Connection", "close, te")], &["te: trailers", "connection: te"]),
        (&[("TE", "gzip"), ("Connection", "te")], &[]),
        (&[("TE", "trailers")], &[]),
        (&[("Trailer", "X-Sum")], &["Trailer: X-Sum"]),
        (&[("X_Forwarded_For", "6.6.6.6"), ("content_length", "9"), ("x-forwarded_Proto", "https"), ("my_own", "1")], &["my_own: 1"]),
    ];
    for (fields, expected) in cases {
        let mut head = request(Version::Http11, &[&[host], *fields].concat());
        to_upstream(&mut head, &hop(), Peer::Untrusted, false);
        assert_eq!(listed(&head), [&["Host: a.example"], *expected, &OURS].concat(), "{fields:?}");
        assert_eq!(head.fields.get(Name::XForwardedFor), Some(&b"192.0.2.7"[..]), "what was added is found by name");
    }
}

#[test]
fn an_upgrade_is_asked_for_on_this_hop_too() {
    let fields = [("Host", "a.example"), ("Connection", "Upgrade, x"), ("X", "1"), ("Upgrade", "websocket")];
    for (upgrade, expected) in
        [(true, &["Host: a.example", "Upgrade: websocket", "connection: upgrade"][..]), (false, &["Host: a.example"])]
    {
        let mut head = request(Version::Http11, &fields);
        to_upstream(&mut head, &hop(), Peer::Untrusted, upgrade);
        assert_eq!(listed(&head), [expected, &OURS].concat());

        let mut head = Head::response(101, b"", Version::Http11);
        for (name, value) in &fields[1..] {
            head.fields.append(name.as_bytes(), value.as_bytes());
        }
        to_downstream(&mut head, upgrade);
        assert_eq!(listed(&head), [&expected[1..], &["via: 1.1 tidegate"]].concat());
    }
}

#[test]
fn what_a_stranger_claims_is_replaced() {
    let mut head = request(
        Version::Http11,
        &[
            ("Host", "a.example"),
            ("x-forwarded-for", "1.1.1.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil"),
            ("X-Forwarded-Port", "1"),
            ("Forwarded", "for=1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2"),
            ("Via", "1.0 other"),
        ],
    );
    to_upstream(&mut head, &hop(), Peer::Untrusted, false);
    assert_eq!(listed(&head), [&["Host: a.example", "Via: 1.0 other"][..], &OURS].concat());
}

#[test]
fn what_a_trusted_proxy_says_is_kept_where_it_can_be_read() {
    let cases: &[FieldsAndExpected<'_>] = &[
        (&[("Forwarded", "for=1.1.1.1")], &["Forwarded: for=1.1.1.1", OURS[0], OURS[1], OURS[2], OURS[3]]),
        (
            &[
                ("X-Forwarded-For", "1.1.1.1"),
                ("x-forwarded-for", "2.2.2.2,3.3.3.3"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Port", "443"),
            ],
            &["x-forwarded-for: 1.1.1.1, 2.2.2.2,3.3.3.3, 192.0.2.7", "x-forwarded-proto: https", "x-forwarded-port: 443", OURS[3]],
        ),
        (&[("X-Forwarded-Host", "b.example:81"), ("X-Forwarded-For", "")], &[OURS[0], OURS[1], OURS[2], "x-forwarded-host: b.example:81"]),
        (&[("X-Forwarded-Host", "b"), ("X-Forwarded-Host", "c")], &OURS[..4]),
        (&[("X-Forwarded-Host", "b, c"), ("X-Forwarded-Proto", "ftp"), ("X-Forwarded-Port", "65536")], &OURS[..4]),
    ];
    for (fields, expected) in cases {
        let mut head = request(Version::Http11, &[&[("Host", "a.example")], *fields].concat());
        to_upstream(&mut head, &hop(), Peer::Trusted, false);
        assert_eq!(listed(&head), [&["Host: a.example"], *expected, &["via: 1.1 tidegate"]].concat(), "{fields:?}");
    }
}

#[test]
fn an_old_client_gets_a_host_and_its_version_in_via() {
    let mut head = request(Version::Http10, &[]);
    to_upstream(&mut head, &hop(), Peer::Untrusted, false);
    assert_eq!(listed(&head), ["host: a.example", OURS[0], OURS[1], OURS[2], OURS[3], "via: 1.0 tidegate"]);
    let mut head = Head::request(b"GET", b"/", b"", Version::Http10);
    to_upstream(&mut head, &hop(), Peer::Untrusted, false);
    assert_eq!(listed(&head), ["host: ", OURS[0], OURS[1], OURS[2], "via: 1.0 tidegate"]);
}

#[test]
fn the_client_is_the_rightmost_address_that_is_not_ours() {
    let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
    let many = vec!["10.0.0.9"; ADDRESSES_MAX].join(",");
    for (peer, lists, expected) in [
        ("192.0.2.1", &["1.1.1.1"][..], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
        ("::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
        ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.0.0.2 ,"], "1.1.1.1"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["1.1.1.1:5000"], "1.1.1.1"),
        ("10.0.0.1", &["[2001:db8::1]:5000"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", &["::ffff:10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", &["1.1.1.1", &many], "10.0.0.9"),
    ] {
        let head = request(Version::Http11, &lists.iter().map(|list| ("X-Forwarded-For", *list)).collect::<Vec<_>>());
        let found = client_address(&head, peer.parse().unwrap(), &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lists:?}");
    }
    let head = request(Version::Http11, &[("X-Forwarded-For", "1.1.1.1")]);
    assert_eq!(
        client_address(&head, "10.0.0.1".parse().unwrap(), &[]),
        "10.0.0.1".parse::<IpAddr>().unwrap(),
        "nobody is trusted by default"
    );
}

proptest! {
    #[test]
    fn an_address_is_written_as_everybody_writes_it(four: u32, six in prop_oneof![any::<u128>(), any::<u32>().prop_map(u128::from)]) {
        for address in [IpAddr::from(four.to_be_bytes()), IpAddr::from(six.to_be_bytes()), IpAddr::from([0xff; 16])] {
            let mut text = [0; ADDRESS_BYTES];
            let expected = address.to_string();
            prop_assert_eq!(write_address(address, &mut text), expected.as_bytes());
        }
    }
}
