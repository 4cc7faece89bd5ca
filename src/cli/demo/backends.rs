//! The demo's backends: small servers that say who answered, and a few paths to see a proxy by.
//!
//! Each is a thread with its own runtime, as three servers on three machines would be: a slow one holds up nobody else. They
//! are hyper, not our own codec, so that the demo shows the proxy against somebody else's reading of HTTP.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Which backend answered, in every answer.
const X_BACKEND: HeaderName = HeaderName::from_static("x-backend");
/// The longest wait that `/slow` grants.
const SLOW_MAX: Duration = Duration::from_secs(60);
/// The largest body of `/big`. It is made as it is sent, and costs no memory.
const BIG_MAX_BYTES: u64 = 16 << 30;
/// The largest request body that `/echo` shows.
const ECHO_MAX_BYTES: usize = 1 << 20;
/// `/big` is this text over and over.
static BIG_CHUNK: [u8; 64 << 10] = [b'~'; 64 << 10];

/// One running backend. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct DemoBackend {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoBackend {
    /// Listens on a loopback port of the system's choice. `number` is what it calls itself.
    pub fn start(number: usize) -> io::Result<DemoBackend> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("backend-{number}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, Answerer { number, address }) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(DemoBackend { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for DemoBackend {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed where it happened, and there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, answerer: Answerer) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it the kernel may hold a small answer back for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(async move {
                        let service = service_fn(move |request| async move { Ok::<_, Infallible>(answerer.answer(request).await) });
                        // A client that breaks off is no news to a demo backend.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                // Out of descriptors, most likely: they come back as connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

type AnswerBody = Either<Full<Bytes>, Repeated>;

#[derive(Debug, Clone, Copy)]
struct Answerer {
    number: usize,
    address: SocketAddr,
}

impl Answerer {
    async fn answer(self, request: Request<Incoming>) -> Response<AnswerBody> {
        let path = request.uri().path();
        let mut response = if path == "/slow" {
            match number(&request, "ms") {
                Some(ms) => {
                    let wait = Duration::from_millis(ms).min(SLOW_MAX);
                    tokio::time::sleep(wait).await;
                    text(StatusCode::OK, format!("backend {} waited {} ms\n", self.number, wait.as_millis()))
                }
                None => text(StatusCode::BAD_REQUEST, "ask for /slow?ms=200\n"),
            }
        } else if path == "/big" {
            match number(&request, "bytes") {
                Some(bytes) if bytes <= BIG_MAX_BYTES => Response::new(Either::Right(Repeated { left: bytes })),
                Some(_) => text(StatusCode::BAD_REQUEST, format!("at most {BIG_MAX_BYTES} bytes\n")),
                None => text(StatusCode::BAD_REQUEST, "ask for /big?bytes=1000000\n"),
            }
        } else if path == "/echo" {
            echo(request).await
        } else if let Some(code) = path.strip_prefix("/status/") {
            match code.parse().ok().filter(|code| (200..=599).contains(code)).and_then(|code| StatusCode::from_u16(code).ok()) {
                Some(status @ (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)) => text(status, ""),
                Some(status) => text(status, format!("backend {} says {status}\n", self.number)),
                None => text(StatusCode::BAD_REQUEST, "ask for /status/200 to /status/599\n"),
            }
        } else {
            text(StatusCode::OK, format!("Hello from backend {} at {}\n", self.number, self.address))
        };
        response.headers_mut().insert(X_BACKEND, HeaderValue::from(self.number));
        response
    }
}

/// The request as it arrived, so that one can see what a proxy adds and removes.
async fn echo(request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, ECHO_MAX_BYTES).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body was cut off or is over {ECHO_MAX_BYTES} bytes\n"));
    };
    let mut shown = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(shown, "{} {} {:?}", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        let _ = writeln!(shown, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    shown.push('\n');
    shown.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    text(StatusCode::OK, shown)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The number under `name` in the query.
fn number<B>(request: &Request<B>, name: &str) -> Option<u64> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

/// A body of known length that exists only as it is sent.
struct Repeated {
    left: u64,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let now = self.left.min(BIG_CHUNK.len() as u64);
        self.left -= now;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&BIG_CHUNK[..now as usize])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    /// Sends one request and reads to the end: head, body.
    fn ask(backend: &DemoBackend, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(backend.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (line, rest) = request.split_once("\r\n").unwrap_or((request, ""));
        write!(stream, "{line} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n{rest}\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
    }

    #[test]
    fn each_path_answers_as_it_says_and_names_the_backend() {
        let backend = DemoBackend::start(7).unwrap();
        for (request, status, body) in [
            ("GET /", "200 OK", "Hello from backend 7"),
            ("GET /any/path?x=y", "200 OK", "Hello from backend 7"),
            ("GET /slow?ms=1", "200 OK", "waited 1 ms"),
            ("GET /slow?ms=x", "400 Bad Request", "/slow?ms=200"),
            ("GET /status/503", "503 Service Unavailable", "503"),
            ("GET /status/204", "204 No Content", ""),
            ("GET /status/101", "400 Bad Request", "/status/200"),
            ("GET /status/x", "400 Bad Request", "/status/200"),
            ("GET /big", "400 Bad Request", "/big?bytes="),
            ("GET /big?bytes=99999999999999", "400 Bad Request", "at most"),
            ("GET /big?bytes=0", "200 OK", ""),
            ("POST /echo?a=b\r\nContent-Length: 4\r\nX-Seen: yes\r\n\r\nbody", "200 OK", "POST /echo?a=b HTTP/1.1\n"),
        ] {
            let (head, answer) = ask(&backend, request);
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
            assert!(head.contains("x-backend: 7"), "{request}: {head}");
            assert!(String::from_utf8_lossy(&answer).contains(body), "{request}: {}", String::from_utf8_lossy(&answer));
        }
    }

    #[test]
    fn an_echo_shows_headers_and_body() {
        let backend = DemoBackend::start(1).unwrap();
        let (_, answer) = ask(&backend, "POST /echo\r\nContent-Length: 4\r\nX-Seen: yes\r\n\r\nbody");
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("\nx-seen: yes\n") && answer.ends_with("\n\nbody"), "{answer}");
    }

    #[test]
    fn a_big_body_has_its_exact_length() {
        let backend = DemoBackend::start(1).unwrap();
        let (head, answer) = ask(&backend, "GET /big?bytes=200001");
        assert!(head.contains("content-length: 200001"), "{head}");
        assert_eq!(answer.len(), 200_001);
    }

    #[test]
    fn dropping_one_ends_it_even_in_the_middle_of_an_answer() {
        let backend = DemoBackend::start(1).unwrap();
        let address = backend.address;
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: demo\r\n\r\n").unwrap();
        let begun = Instant::now();
        drop(backend);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(TcpStream::connect(address).is_err(), "its port is closed");
    }
}
