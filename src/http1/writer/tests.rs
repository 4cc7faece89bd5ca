use super::*;
use crate::http1::head::{self, Limits};
use crate::message::{Method, Version};

const LIMITS: Limits = Limits { bytes: 4096, fields: 16, target: 256 };

fn request_of(text: &str) -> Head {
    head::request(text.as_bytes(), &LIMITS).unwrap().unwrap().0.head
}

fn response_of(text: &str) -> Head {
    head::response(text.as_bytes(), &LIMITS, Method::Get).unwrap().unwrap().0.head
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_goes_out_as_it_came_but_for_its_blanks_and_version() {
    let head = request_of(
        "\r\nGET http://a/x?y HTTP/1.0\r\nhost:a\r\nX-One: 1\r\nX-Two:  2 \r\nX-Three: 3\r\nTail: 4 \r\nTab:\t5\r\nEmpty:\r\n\r\n",
    );
    assert_eq!(
        written(|out| request_head(&head, Framing::Empty, Connection::Persistent, out)),
        "GET /x?y HTTP/1.1\r\nhost: a\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nTail: 4\r\nTab: 5\r\nEmpty: \r\n\r\n"
    );
}

#[test]
fn edits_go_out_in_their_place() {
    let mut head = request_of("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n");
    head.fields.remove_named(b"b");
    head.fields.set("c", b"5");
    head.fields.append(b"E", b"");
    head.set_target(b"/other");
    assert_eq!(
        written(|out| request_head(&head, Framing::Empty, Connection::Close, out)),
        "GET /other HTTP/1.1\r\nHost: a\r\nA: 1\r\nD: 4\r\nc: 5\r\nE: \r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn the_framing_on_the_wire_is_the_writers() {
    for (fields, framing, expected) in [
        ("", Framing::Empty, ""),
        ("Content-Length: 5\r\n", Framing::Empty, ""),
        ("Content-Length: 5\r\n", Framing::Length(5), "Content-Length: 5\r\n"),
        ("Content-Length: 5\r\n", Framing::Length(0), "content-length: 0\r\n"),
        ("Content-Length: 0005\r\n", Framing::Length(5), "content-length: 5\r\n"),
        ("Content-Length: 5\r\n", Framing::Chunked, "transfer-encoding: chunked\r\n"),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked, "transfer-encoding: chunked\r\n"),
        ("Transfer-Encoding: chunked\r\n", Framing::Length(18_446_744_073_709_551_615), "content-length: 18446744073709551615\r\n"),
    ] {
        let head = request_of(&format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(
            written(|out| request_head(&head, framing, Connection::Persistent, out)),
            format!("PUT / HTTP/1.1\r\nHost: a\r\n{expected}\r\n"),
            "{fields:?} {framing:?}"
        );
    }
    for (status, fields, framing, expected) in [
        (200, "Content-Length: 5\r\n", Framing::Empty, "Content-Length: 5\r\n"),
        (304, "Content-Length: 5\r\n", Framing::Empty, "Content-Length: 5\r\n"),
        (204, "Content-Length: 0\r\n", Framing::Empty, ""),
        (103, "Content-Length: 5\r\n", Framing::Empty, ""),
        (200, "Content-Length: 5\r\n", Framing::UntilClose, ""),
        (200, "Transfer-Encoding: chunked\r\n", Framing::UntilClose, ""),
        (200, "", Framing::Chunked, "transfer-encoding: chunked\r\n"),
        (200, "", Framing::Length(1024), "content-length: 1024\r\n"),
    ] {
        let head = response_of(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"));
        assert_eq!(
            written(|out| response_head(&head, framing, Connection::Persistent, None, out)),
            format!("HTTP/1.1 {status} X\r\n{expected}\r\n"),
            "{status} {fields:?} {framing:?}"
        );
    }
}

#[test]
fn a_length_said_twice_by_an_edited_head_goes_out_once() {
    let mut head = Head::response(200, b"OK", Version::Http11);
    head.fields.append(b"Content-Length", b"5");
    head.fields.append(b"Content-Length", b"7");
    let text = written(|out| response_head(&head, Framing::Length(5), Connection::Persistent, None, out));
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
}

#[test]
fn an_answer_says_its_date_and_what_becomes_of_the_connection() {
    let date = Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
    let bare = Head::response(404, b"", Version::Http11);
    assert_eq!(
        written(|out| response_head(&bare, Framing::Length(0), Connection::KeepAlive, date, out)),
        "HTTP/1.1 404 \r\ncontent-length: 0\r\nconnection: keep-alive\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
    );
    let dated = response_of("HTTP/1.0 200 OK\r\nDate: then\r\n\r\n");
    assert_eq!(
        written(|out| response_head(&dated, Framing::UntilClose, Connection::Close, date, out)),
        "HTTP/1.1 200 OK\r\nDate: then\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn chunk_framing() {
    for (len, expected) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabcdef, "abcdef\r\n"), (usize::MAX, "ffffffffffffffff\r\n")] {
        assert_eq!(written(|out| chunk_head(len, out)), expected);
    }
    let mut trailers = Fields::default();
    trailers.append(b"X-Sum", b"1");
    assert_eq!(written(|out| last_chunk(Some(&trailers), out)), "0\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(written(|out| last_chunk(None, out)), "0\r\n\r\n");
}
