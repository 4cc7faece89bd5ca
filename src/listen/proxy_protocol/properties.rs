//! Headers against a slow, simple reader, and against themselves: cut, written, mutated. `PROPTEST_CASES` makes the run as long as
//! one likes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::spoil::spoil;

/// What a reader without cleverness makes of a whole line of version 1.
fn reference_line(line: &[u8]) -> Option<Origin> {
    let text: String = line.iter().map(|byte| char::from(*byte)).collect();
    let text = text.strip_suffix("\r\n").filter(|_| line.len() <= 107)?;
    if text == "PROXY UNKNOWN" || text.starts_with("PROXY UNKNOWN ") {
        return Some(Origin::Own);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let ["PROXY", family, source, destination, from, to] = words[..] else { return None };
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| number.to_string() == text);
    let address = |text: &str| -> Option<IpAddr> {
        if family == "TCP4" {
            let octets: Vec<u8> =
                text.split('.').filter_map(|part| part.parse().ok().filter(|octet: &u8| octet.to_string() == part)).collect();
            let octets: [u8; 4] = octets.try_into().ok()?;
            return (text.split('.').count() == 4).then(|| octets.into());
        }
        (family == "TCP6").then(|| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)).flatten()
    };
    let source = SocketAddr::new(address(source)?, number(from)?);
    let destination = SocketAddr::new(address(destination)?, number(to)?);
    Some(Origin::Relayed(Relayed { source, destination }))
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| (Ipv4Addr::from(ip), port).into()),
        any::<(u128, u16)>().prop_map(|(ip, port)| (Ipv6Addr::from(ip), port).into()),
        any::<(u32, u16)>().prop_map(|(ip, port)| (Ipv4Addr::from(ip).to_ipv6_mapped(), port).into()),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Own),
        (address(), address()).prop_map(|(source, destination)| Origin::Relayed(Relayed { source, destination })),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    select(vec![Version::V1, Version::V2])
}

/// Headers, most of them wrong somewhere.
fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let extension = (select(vec![1u8, 2, 4, 5, 0x20, 0x30]), vec(any::<u8>(), 0..20));
    let edit = (any::<Index>(), prop_oneof![select(b"\r\n\0 \t.:0x9\x11\x20\x21\xff".to_vec()), any::<u8>()], 0..3u8);
    (version(), origin(), vec(extension, 0..3), any::<bool>(), vec(edit, 0..3)).prop_map(|(version, origin, extensions, sum, edits)| {
        let mut bytes = Vec::new();
        write(version, origin, &mut bytes);
        if version == Version::V2 {
            for (kind, value) in extensions {
                extend(&mut bytes, kind, &value);
            }
            if sum {
                extend(&mut bytes, CRC32C, &[0; 4]);
                let sum = crc32c(&[&bytes]);
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&sum.to_be_bytes());
            }
        }
        spoil(&mut bytes, edits);
        bytes
    })
}

fn extend(header: &mut Vec<u8>, kind: u8, value: &[u8]) {
    header.push(kind);
    header.extend((value.len() as u16).to_be_bytes());
    header.extend_from_slice(value);
    let extra = (header.len() - HEAD) as u16;
    header[14..HEAD].copy_from_slice(&extra.to_be_bytes());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(version in version(), origin in origin(), behind in vec(any::<u8>(), 0..40)) {
        let mut bytes = Vec::new();
        write(version, origin, &mut bytes);
        let len = bytes.len();
        prop_assert!(len <= LINE_BYTES_MAX);
        bytes.extend(behind);
        let meant = match origin {
            Origin::Own => Origin::Own,
            Origin::Relayed(relayed) => Origin::Relayed(one_family(relayed)),
        };
        prop_assert_eq!(read(&bytes), Ok(Some((meant, len))));
    }

    /// No prefix of a header is another header, none is refused that could become one, and nothing is read beyond its end.
    #[test]
    fn it_matters_to_nobody_how_a_header_is_cut(header in any_header()) {
        let whole = read(&header);
        for cut in 0..header.len() {
            match (read(&header[..cut]), whole) {
                (Ok(None), _) => {}
                (Ok(Some(early)), Ok(Some(late))) => prop_assert_eq!(early, late),
                (Err(_), Err(_)) => {}
                (early, late) => prop_assert!(false, "{:?} after {} bytes, {:?} after all", early, cut, late),
            }
        }
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= header.len());
            prop_assert_eq!(read(&header[..used]), whole);
        }
    }

    /// However much comes, at some point it is a header or it is none.
    #[test]
    fn nobody_is_listened_to_for_ever(mut bytes in any_header(), filler in any::<u8>()) {
        bytes.resize(BYTES_MAX + 1, filler);
        prop_assert!(!matches!(read(&bytes), Ok(None)));
    }

    #[test]
    fn lines_are_read_as_a_simple_reader_reads_them(header in any_header()) {
        // Not by `prop_assume`, which gives up where a long run throws much away.
        if !header.starts_with(b"PROXY ") {
            return Ok(());
        }
        let end = header.windows(1).position(|byte| byte == b"\n").map_or(header.len(), |at| at + 1);
        let expected = reference_line(&header[..end]);
        match read(&header) {
            Ok(Some((origin, used))) => prop_assert_eq!((Some(origin), used), (expected, end)),
            Ok(None) | Err(_) => prop_assert_eq!(expected, None),
        }
    }

    #[test]
    fn no_bytes_are_too_strange(start in select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]), rest in vec(any::<u8>(), 0..300)) {
        let bytes = [start, &rest].concat();
        if let Ok(Some((_, used))) = read(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }
}
