//! One question to a running proxy's admin address.
//!
//! HTTP/1.0 on purpose: the answer ends where its connection ends, so there are no chunks to decode, and a blocking socket with
//! a deadline is all it takes. What answers may be anything that listens there: size and time are bounded.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer larger than this is refused.
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// Fields that an answer may have; the admin sends a handful.
const FIELDS_MAX: usize = 64;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no Tidegate admin at {address}: is it running, and is [admin] address set? use --admin")]
    Nobody { address: SocketAddr },
    #[error("the admin at {address} did not answer within {} s", timeout.as_secs_f32())]
    Late { address: SocketAddr, timeout: Duration },
    #[error("what answers at {address} is not Tidegate's admin ({why}): is that its [admin] address? use --admin")]
    Foreign { address: SocketAddr, why: &'static str },
    #[error("talking to the admin at {address}: {source}")]
    Broken { address: SocketAddr, source: io::Error },
}

/// Sends `METHOD path` and reads the whole answer within `timeout`.
pub fn ask(address: SocketAddr, method: &str, path: &str, timeout: Duration) -> Result<Answer, Error> {
    exchanged(address, &format!("{method} {path}"), "", timeout)
}

/// Sends `POST path` with JSON and reads the whole answer within `timeout`.
pub fn send(address: SocketAddr, path: &str, json: &str, timeout: Duration) -> Result<Answer, Error> {
    exchanged(address, &format!("POST {path}"), json, timeout)
}

fn exchanged(address: SocketAddr, request: &str, body: &str, timeout: Duration) -> Result<Answer, Error> {
    let received = exchange(address, request, body, Instant::now() + timeout).map_err(|source| match source.kind() {
        ErrorKind::ConnectionRefused => Error::Nobody { address },
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Late { address, timeout },
        _ => Error::Broken { address, source },
    })?;
    parse(&received).map_err(|why| Error::Foreign { address, why })
}

fn exchange(address: SocketAddr, request: &str, body: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    // A timeout of zero means "none" to the socket, and is an error there.
    let left = || Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    let mut stream = TcpStream::connect_timeout(&address, left().unwrap_or_default())?;
    stream.set_write_timeout(left())?;
    // The field tells the admin that a page in somebody's browser did not send this: a page cannot add it unasked.
    let length = body.len();
    write!(stream, "{request} HTTP/1.0\r\nHost: {address}\r\nX-Tidegate: 1\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut received = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(left())?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(received),
            Ok(n) if received.len() + n > ANSWER_MAX_BYTES => {
                return Err(io::Error::other(format!("the answer is over {ANSWER_MAX_BYTES} bytes")));
            }
            Ok(n) => received.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(received: &[u8]) -> Result<Answer, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head_bytes)) = head.parse(received) else {
        return Err("its answer is not HTTP");
    };
    let body = &received[head_bytes..];
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    if let Some(length) = length {
        let length = std::str::from_utf8(length.value).ok().and_then(|text| text.parse::<usize>().ok());
        if length != Some(body.len()) {
            return Err("its answer was cut off");
        }
    }
    let body = String::from_utf8(body.to_vec()).map_err(|_| "its answer is not text")?;
    Ok(Answer { status: head.code.unwrap_or_default(), body })
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::cli::demo::backends::DemoBackend;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Answers one connection with these bytes once its request is whole, and closes.
    pub fn once(bytes: &'static [u8]) -> (SocketAddr, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut piece = [0; 1024];
            while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
                let n = stream.read(&mut piece).unwrap();
                seen.extend_from_slice(&piece[..n]);
            }
            // The client may have refused what came so far.
            let _ = stream.write_all(bytes);
        });
        (address, answering)
    }

    #[test]
    fn it_understands_a_hyper_server() {
        let backend = DemoBackend::start(1).unwrap();
        let answer = ask(backend.address, "GET", "/big?bytes=100000", PATIENCE).unwrap();
        assert_eq!((answer.status, answer.body.len(), answer.is_success()), (200, 100_000, true));
        let answer = ask(backend.address, "POST", "/echo", PATIENCE).unwrap();
        assert!(answer.body.contains("x-tidegate: 1\n"), "{}", answer.body);
        assert!(!ask(backend.address, "GET", "/status/503", PATIENCE).unwrap().is_success());
    }

    #[test]
    fn nobody_there_says_what_to_do() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(address, "GET", "/ready", PATIENCE).unwrap_err();
        let expected = format!("no Tidegate admin at {address}: is it running, and is [admin] address set? use --admin");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = ask(listener.local_addr().unwrap(), "GET", "/", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Late { .. }), "{error}");
    }

    #[test]
    fn what_is_no_admin_is_called_so() {
        for (bytes, why) in [
            (&b""[..], "not HTTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", "cut off"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhal", "cut off"),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "not text"),
        ] {
            let (address, answering) = once(bytes);
            let error = ask(address, "GET", "/", PATIENCE).unwrap_err();
            assert!(error.to_string().contains(why), "{bytes:?}: {error}");
            answering.join().unwrap();
        }
    }
}
