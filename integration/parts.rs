//! Parts of answers that are kept: joined where they are of one content, used for what they hold, and for nothing else.

use crate::support::{Backend, Message, Proxy, Site, Wire};

const TEN: &str = "0123456789";

/// A proxy, its client, and the origin once it has been asked.
struct Line {
    backend: Backend,
    proxy: Proxy,
    client: Wire,
    origin: Option<Wire>,
}

impl Line {
    fn new() -> Line {
        let backend = Backend::bind();
        let route = "cache = { use = \"main\", purge_from = [\"127.0.0.1\"] }";
        let proxy = Site::to([backend.address()]).with("[cache.main]\nmemory = \"16MiB\"\nmax_object = \"1MiB\"").route(route).start();
        let client = proxy.connect();
        Line { backend, proxy, client, origin: None }
    }

    fn ask(&mut self, method: &str, fields: &str) {
        self.client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    }

    /// What the origin is asked.
    #[track_caller]
    fn asked(&mut self) -> Message {
        self.origin.get_or_insert_with(|| self.backend.accept()).request()
    }

    #[track_caller]
    fn says(&mut self, answer: &str) -> Message {
        self.origin.as_mut().expect("it was asked").send(answer);
        self.client.answer()
    }

    /// From what is kept.
    #[track_caller]
    fn hit(&mut self, fields: &str) -> Message {
        self.ask("GET", fields);
        let answer = self.client.answer();
        assert!(answer.head.get("cache-status").is_some_and(|said| said.starts_with("tidegate; hit")), "{fields}: {:?}", answer.head);
        answer
    }

    /// From the origin, as a part of ten bytes.
    #[track_caller]
    fn fetch(&mut self, tag: &str, first: usize, last: usize) -> Message {
        self.ask("GET", &format!("Range: bytes={first}-{last}\r\n"));
        assert_eq!(self.asked().head.all("range"), [format!("bytes={first}-{last}")]);
        self.says(&part(tag, first, last))
    }
}

fn part(tag: &str, first: usize, last: usize) -> String {
    let (text, length) = (&TEN[first..=last], last + 1 - first);
    format!(
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: {tag}\r\nContent-Type: text/plain\r\n\
         Content-Range: bytes {first}-{last}/10\r\nContent-Length: {length}\r\n\r\n{text}"
    )
}

fn range(answer: &Message) -> (u16, Option<&str>, String) {
    (answer.status(), answer.head.get("content-range"), answer.text())
}

#[test]
fn parts_are_used_for_what_they_hold_and_joined_until_they_are_the_whole() {
    let mut line = Line::new();
    let first = line.fetch("\"e\"", 0, 3);
    assert_eq!(range(&first), (206, Some("bytes 0-3/10"), "0123".into()));
    assert_eq!(first.head.get("cache-status"), Some("tidegate; fwd=uri-miss; fwd-status=206; stored"));
    let explained = line.proxy.command(&["explain", "--cache", "http://a/", "--json"]).1;
    assert!(explained.contains("\"content_bytes\":4,\"part_of_bytes\":10"), "{explained}");
    let inside = line.hit("Range: bytes=1-2\r\n");
    assert_eq!(range(&inside), (206, Some("bytes 1-2/10"), "12".into()));
    assert_eq!([inside.head.get("content-type"), inside.head.get("etag")], [Some("text/plain"), Some("\"e\"")]);
    let beyond = line.fetch("\"e\"", 6, 9);
    assert_eq!(beyond.head.get("cache-status"), Some("tidegate; fwd=partial; fwd-status=206; stored"));
    assert_eq!(range(&line.hit("Range: bytes=-3\r\n")), (206, Some("bytes 7-9/10"), "789".into()));
    assert_eq!(range(&line.hit("Range: bytes=2-3\r\nIf-Range: \"e\"\r\n")), (206, Some("bytes 2-3/10"), "23".into()));
    let several = line.hit("Range: bytes=8-9,0-1\r\n");
    assert!(several.status() == 206 && several.text().contains("Content-Range: bytes 0-1/10\r\n\r\n01\r\n"));
    line.ask("GET", "Range: bytes=2-3\r\nIf-None-Match: \"e\"\r\n");
    assert_eq!(line.client.head().status(), 304);
    line.fetch("\"e\"", 3, 7);
    let whole = line.hit("");
    assert_eq!(range(&whole), (200, None, TEN.into()));
    assert_eq!([whole.head.get("content-length"), whole.head.get("content-type")], [Some("10"), Some("text/plain")]);
    assert_eq!(range(&line.hit("Range: bytes=2-7\r\n")), (206, Some("bytes 2-7/10"), "234567".into()));
    line.ask("HEAD", "");
    assert_eq!(line.client.head().get("content-length"), Some("10"));
}

/// RFC 9111 3.3: only for a part that lies wholly in what is there.
#[test]
fn a_part_answers_for_nothing_else() {
    for (method, fields) in [
        ("GET", ""),
        ("GET", "If-None-Match: \"e\"\r\n"),
        ("HEAD", ""),
        ("HEAD", "Range: bytes=0-1\r\n"),
        ("GET", "Range: bytes=2-4\r\n"),
        ("GET", "Range: bytes=0-\r\n"),
        ("GET", "Range: bytes=-2\r\n"),
        ("GET", "Range: bytes=10-\r\n"),
        ("GET", "Range: bytes=0-1,3-4\r\n"),
        ("GET", "Range: bytes=0-1\r\nRange: bytes=0-1\r\n"),
        ("GET", "Range: bytes=0-1\r\nIf-Range: \"f\"\r\n"),
        ("GET", "Range: bytes=0-1\r\nCache-Control: no-cache\r\n"),
        ("GET", "Range: lines=0-1\r\n"),
    ] {
        let mut line = Line::new();
        line.fetch("\"e\"", 0, 3);
        line.ask(method, fields);
        assert!(line.asked().head.start.starts_with(method), "{method} {fields}");
    }
    let mut line = Line::new();
    line.fetch("\"e\"", 0, 3);
    line.ask("GET", "Cache-Control: only-if-cached\r\n");
    assert_eq!(line.client.answer().status(), 504);
}

#[test]
fn what_can_not_be_joined_for_certain_is_not_kept() {
    let good = part("\"e\"", 0, 3);
    for (from, to) in [
        ("ETag: \"e\"", "ETag: W/\"e\""),
        ("ETag: \"e\"", "ETag: e"),
        ("ETag: \"e\"", "ETag: \"e\"\r\nETag: \"e\""),
        ("ETag: \"e\"", "Last-Modified: Sun, 06 Nov 1994 12:00:00 GMT"),
        ("0-3/10", "0-3/*"),
        ("0-3/10", "0-4/10"),
        ("0-3/10", "0-3/3"),
        ("0-3/10", "0-3/9999999"),
        ("Content-Range: bytes 0-3/10", "Content-Type: multipart/byteranges; boundary=x"),
        ("max-age=60", "private, max-age=60"),
        ("max-age=60", "max-age=60, no-store"),
        ("max-age=60", "max-age=60\r\nVary: *"),
    ] {
        let mut line = Line::new();
        for _ in 0..2 {
            line.ask("GET", "Range: bytes=0-3\r\n");
            line.asked();
            let answer = line.says(&good.replace(from, to));
            assert_eq!((answer.status(), answer.text().as_str()), (206, "0123"), "{to}");
        }
    }
    // What else a range has drawn is not for those who ask without one.
    let mut line = Line::new();
    line.ask("GET", "Range: bytes=20-\r\n");
    line.asked();
    line.says("HTTP/1.1 416 x\r\nCache-Control: max-age=60\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n");
    line.ask("GET", "");
    line.asked();
}

#[test]
fn other_parts_and_wholes_take_the_place_of_what_is_there() {
    let mut line = Line::new();
    line.fetch("\"e\"", 0, 3);
    line.fetch("\"f\"", 4, 9);
    assert_eq!(line.hit("Range: bytes=5-5\r\n").head.get("etag"), Some("\"f\""));
    // The first are of another content, so that both together are no whole.
    line.fetch("\"f\"", 0, 2);
    line.ask("GET", "");
    assert!(line.asked().head.get("if-none-match").is_none());
    line.says("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"g\"\r\nContent-Length: 5\r\n\r\nwhole");
    assert_eq!(range(&line.hit("Range: bytes=1-2\r\n")), (206, Some("bytes 1-2/5"), "ho".into()));
}

#[test]
fn an_origin_that_knows_no_parts_is_asked_for_the_whole_once() {
    let mut line = Line::new();
    line.ask("GET", "Range: bytes=1-2\r\n");
    line.asked();
    let answer = line.says("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nwhole");
    assert_eq!(range(&answer), (200, None, "whole".into()));
    assert_eq!(range(&line.hit("Range: bytes=1-2\r\n")), (206, Some("bytes 1-2/5"), "ho".into()));
}

#[test]
fn a_part_that_is_cut_is_not_kept() {
    let mut line = Line::new();
    line.ask("GET", "Range: bytes=0-3\r\n");
    line.asked();
    let mut origin = line.origin.take().expect("it was asked");
    origin.send(part("\"e\"", 0, 3).strip_suffix("3").expect("its last byte"));
    assert_eq!(line.client.head().status(), 206);
    line.client.expect("012");
    drop(origin);
    line.client.end();
    line.client = line.proxy.connect();
    assert_eq!(range(&line.fetch("\"e\"", 0, 1)), (206, Some("bytes 0-1/10"), "01".into()));
}

#[test]
fn a_stale_part_is_asked_about_and_a_purge_takes_it() {
    let mut line = Line::new();
    line.ask("GET", "Range: bytes=0-3\r\n");
    line.asked();
    line.says(&part("\"e\"", 0, 3).replace("max-age=60", "max-age=0"));
    line.ask("GET", "Range: bytes=1-2\r\n");
    assert_eq!(line.asked().head.get("if-none-match"), Some("\"e\""));
    let confirmed = line.says("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\n\r\n");
    assert_eq!(range(&confirmed), (206, Some("bytes 1-2/10"), "12".into()));
    line.hit("Range: bytes=0-3\r\n");
    line.ask("PURGE", "");
    assert_eq!(line.client.answer().text(), "purged: 1 entries\n");
    line.fetch("\"e\"", 1, 2);
}

/// Whatever is asked for in whatever order: what is there is answered from there, what is not is fetched, and every byte is the origin's.
#[test]
fn every_byte_of_every_part_is_the_origins() {
    const WHOLE: usize = 3000;
    let content: String = (0..WHOLE).map(|at| char::from(b'a' + (at * at % 23) as u8)).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut line = Line::new();
    let mut here = vec![false; WHOLE];
    let mut hits = 0;
    while !here.iter().all(|here| *here) {
        let first = random.usize(..WHOLE);
        let last = (first + random.usize(..400)).min(WHOLE - 1);
        let is_here = here[first..=last].iter().all(|here| *here);
        let answer = if is_here {
            hits += 1;
            line.hit(&format!("Range: bytes={first}-{last}\r\n"))
        } else {
            line.ask("GET", &format!("Range: bytes={first}-{last}\r\n"));
            line.asked();
            here[first..=last].fill(true);
            let text = &content[first..=last];
            let length = text.len();
            line.says(&format!(
                "HTTP/1.1 206 x\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\nContent-Range: bytes {first}-{last}/{WHOLE}\r\n\
                 Content-Length: {length}\r\n\r\n{text}"
            ))
        };
        let said = format!("bytes {first}-{last}/{WHOLE}");
        assert_eq!(range(&answer), (206, Some(said.as_str()), content[first..=last].to_owned()));
    }
    assert!(hits > 0);
    assert_eq!(range(&line.hit("")), (200, None, content));
}
