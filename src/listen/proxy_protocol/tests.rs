use super::*;

fn relayed(source: &str, destination: &str) -> Origin {
    Origin::Relayed(Relayed { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| char::from(byte).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const START: &str = "0d0a0d0a000d0a515549540a";

/// What HAProxy 2.6.12 and nginx 1.22.1 sent, byte for byte, and what it means.
#[test]
fn what_others_send_is_read() {
    let lo4 = |port: u16, to: u16| relayed(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{to}"));
    let lo6 = |port: u16, to: u16| relayed(&format!("[::1]:{port}"), &format!("[::1]:{to}"));
    for (sender, sent, meaning) in [
        // HAProxy, `send-proxy`.
        ("v1, IPv4", "50524f58592054435034203132372e302e302e31203132372e302e302e3120343639363620393731300d0a", lo4(46966, 9710)),
        ("v1, IPv6", "50524f58592054435036203a3a31203a3a3120333834393420393731300d0a", lo6(38494, 9710)),
        ("v1, from a Unix socket", "50524f585920554e4b4e4f574e0d0a", Origin::Own),
        // HAProxy, `send-proxy-v2`.
        ("v2, IPv4", "0d0a0d0a000d0a515549540a2111000c7f0000017f000001977825ef", lo4(38776, 9711)),
        (
            "v2, IPv6",
            "0d0a0d0a000d0a515549540a2121002400000000000000000000000000000001000000000000000000000000000000019ee625ef",
            lo6(40678, 9711),
        ),
        ("v2, a health check", "0d0a0d0a000d0a515549540a20000000", Origin::Own),
        // HAProxy, `send-proxy-v2 proxy-v2-options crc32c`.
        ("v2, IPv4, checksum", "0d0a0d0a000d0a515549540a211100137f0000017f000001d71025f1030004302221ab", lo4(55056, 9713)),
        (
            "v2, IPv6, checksum",
            "0d0a0d0a000d0a515549540a2121002b0000000000000000000000000000000100000000000000000000000000000001ce2a25f10300045f9a66e3",
            lo6(52778, 9713),
        ),
        ("v2, own, checksum", "0d0a0d0a000d0a515549540a20000007030004a9b87e8f", Origin::Own),
        // HAProxy, `send-proxy-v2 proxy-v2-options ssl,authority,crc32c,unique-id`.
        (
            "v2, IPv4, extensions",
            "0d0a0d0a000d0a515549540a2111002c7f0000017f000001b4ca25f0030004243bcaaa05000e6162632d323032383533383234392000050000000000",
            lo4(46282, 9712),
        ),
        (
            "v2, IPv6, extensions",
            "0d0a0d0a000d0a515549540a212100440000000000000000000000000000000100000000000000000000000000000001e0ae25f0
             030004edac183505000e6162632d313337373330363638352000050000000000",
            lo6(57518, 9712),
        ),
        (
            "v2, own, extensions",
            "0d0a0d0a000d0a515549540a20000020030004fb78f95205000e6162632d333530343939323134312000050000000000",
            Origin::Own,
        ),
        // nginx, `proxy_protocol on` in a `stream` server.
        ("nginx, IPv4", "50524f58592054435034203132372e302e302e31203132372e302e302e3120333830373620393731360d0a", lo4(38076, 9716)),
        ("nginx, IPv6", "50524f58592054435036203a3a31203a3a3120353130353020393731360d0a", lo6(51050, 9716)),
        ("nginx, from a Unix socket", "50524f585920554e4b4e4f574e0d0a", Origin::Own),
    ] {
        let mut sent = bytes(sent);
        let len = sent.len();
        sent.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert_eq!(read(&sent), Ok(Some((meaning, len))), "{sender}");
        for cut in 0..len {
            assert_eq!(read(&sent[..cut]), Ok(None), "{sender}, {cut} of its bytes");
        }
    }
}

/// What we send is what HAProxy sends.
#[test]
fn what_is_written_is_what_others_write() {
    for (version, origin, expected) in [
        (Version::V1, relayed("127.0.0.1:46966", "127.0.0.1:9710"), &b"PROXY TCP4 127.0.0.1 127.0.0.1 46966 9710\r\n"[..]),
        (Version::V1, relayed("[::1]:38494", "[::1]:9710"), b"PROXY TCP6 ::1 ::1 38494 9710\r\n"),
        (Version::V1, Origin::Own, b"PROXY UNKNOWN\r\n"),
        (Version::V2, relayed("127.0.0.1:38776", "127.0.0.1:9711"), &bytes(&format!("{START}2111000c7f0000017f000001977825ef"))),
        (
            Version::V2,
            relayed("[::1]:40678", "[::1]:9711"),
            &bytes(&format!("{START}2121002400000000000000000000000000000001000000000000000000000000000000019ee625ef")),
        ),
        (Version::V2, Origin::Own, &bytes(&format!("{START}20000000"))),
        (Version::V1, relayed("[::ffff:10.0.0.1]:1", "10.0.0.2:2"), b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        (Version::V1, relayed("10.0.0.1:1", "[2001:db8::1]:2"), b"PROXY TCP6 ::ffff:10.0.0.1 2001:db8::1 1 2\r\n"),
    ] {
        let mut written = Vec::new();
        write(version, origin, &mut written);
        assert_eq!(written, expected, "{version:?} {origin:?}");
    }
}

#[test]
fn lines_that_are_refused() {
    let long = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX - 14));
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY  TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP4 10.0.0.1  10.0.0.2 1 2\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\rX\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n",
        "PROXY TCP4\t10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP4 010.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP4 10.0.0 10.0.0.2 1 2\r\n",
        "PROXY TCP4 256.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n",
        "PROXY TCP4 10.0.0.1 10.0.0.2  2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY TCP6 ::1 ::1%lo 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "\r\nPROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        &long,
    ] {
        assert!(read(line.as_bytes()).is_err(), "{line:?}: {:?}", read(line.as_bytes()));
    }
}

#[test]
fn lines_at_the_edge_of_what_is_allowed() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE_BYTES_MAX - 16));
    for (line, origin) in [
        (longest.as_str(), Origin::Own),
        ("PROXY UNKNOWN\r\n", Origin::Own),
        ("PROXY UNKNOWN \u{fffd} 1\r\n", Origin::Own),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", relayed("0.0.0.0:0", "255.255.255.255:65535")),
        (
            "PROXY TCP6 ffff:FFFF:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:10.0.0.1 65535 65535\r\n",
            relayed("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[::ffff:10.0.0.1]:65535"),
        ),
    ] {
        assert_eq!(read(line.as_bytes()), Ok(Some((origin, line.len()))), "{line:?}");
    }
}

#[test]
fn binary_headers_that_are_refused() {
    let v4 = "7f0000017f000001977825ef";
    for (why, rest) in [
        ("version 1", format!("1111000c{v4}")),
        ("version 3", format!("3111000c{v4}")),
        ("an unknown command", format!("2211000c{v4}")),
        ("an unknown family", format!("2141000c{v4}")),
        ("an unknown transport", format!("2113000c{v4}")),
        ("a family without a transport", format!("2110000c{v4}")),
        ("datagrams", format!("2112000c{v4}")),
        ("too short for IPv4", "2111000b7f0000017f000001977825".to_owned()),
        ("too short for IPv6", format!("2121000c{v4}")),
        ("too short for Unix", format!("2131000c{v4}")),
        ("too long", "21111001".to_owned()),
        ("an extension cut in its head", format!("2111000e{v4}0400")),
        ("an extension cut in its value", format!("21110010{v4}04000200")),
        ("a checksum that is wrong", "211100137f0000017f000001d71025f1030004302221ac".to_owned()),
        ("a checksum over other bytes", "211100137f0000017f000001d71125f1030004302221ab".to_owned()),
        ("a checksum of three bytes", format!("21110012{v4}030003302221")),
        ("a checksum that is wrong, of its own", "20000007030004a9b87e8e".to_owned()),
    ] {
        assert!(read(&bytes(&format!("{START}{rest}"))).is_err(), "{why}");
    }
    assert!(read(b"\r\n\r\n\0\r\nQUIT\r").is_err() && read(b"\r\n\r\n\0\r\nX").is_err());
    // Bytes that can only be wrong are not waited for.
    assert!(read(&bytes(&format!("{START}41"))).is_err() && read(&bytes(&format!("{START}2199"))).is_err());
}

#[test]
fn what_may_be_said_and_means_nothing() {
    let path = "00".repeat(216);
    for (why, rest) in [
        ("unspecified, passed on", "21000000".to_owned()),
        ("a Unix client", format!("213100d8{path}")),
        ("its own, without the addresses of its family", "20110000".to_owned()),
        ("its own, with them", "2011000c7f0000017f000001977825ef".to_owned()),
        ("padding", "2000000404000100".to_owned()),
    ] {
        let header = bytes(&format!("{START}{rest}"));
        assert_eq!(read(&header), Ok(Some((Origin::Own, header.len()))), "{why}");
    }
}

#[test]
fn the_checksum_is_the_published_one() {
    // RFC 3720, B.4, and the check value of the catalogues.
    assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
    assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
}
