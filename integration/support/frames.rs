//! One HTTP/2 connection in the hands of a test, on either side of the proxy: frames out, frames in, every wait with a deadline.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::hpack::{self, Decoder};
use super::secure::Secure;
use super::{Backend, PATIENCE};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const CONNECT_ERROR: u32 = 10;
pub const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// What is to be seen of a message.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Heard {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn status(&self) -> u16 {
        self.get(":status").expect("an answer has a status").parse().expect("digits")
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What carries the frames: a socket, or TLS over one.
trait Carrier: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Carrier for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Carrier for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

pub struct Frames {
    stream: Box<dyn Carrier>,
    read: Vec<u8>,
    /// Taken apart, and not asked for yet.
    waiting: VecDeque<Frame>,
    decoder: Decoder,
    ended: bool,
}

impl Frames {
    /// Preface and empty SETTINGS sent, the proxy's SETTINGS seen and acknowledged.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Frames {
        Frames::with_settings(to, &[])
    }

    /// With settings of its own.
    #[track_caller]
    pub fn with_settings(to: SocketAddr, settings: &[(u16, u32)]) -> Frames {
        let mut frames = Frames::bare(to);
        frames.write(PREFACE);
        frames.send(Frame::new(SETTINGS, 0, 0, payload_of(settings)));
        frames.settle();
        frames
    }

    /// The backend's end: the proxy's preface and SETTINGS seen, ours sent.
    #[track_caller]
    pub fn accept(backend: &Backend, settings: &[(u16, u32)]) -> Frames {
        Frames::over(backend.accept_stream()).accepted(settings)
    }

    /// The same on a Unix socket.
    #[track_caller]
    pub fn accept_unix(listener: &UnixListener, settings: &[(u16, u32)]) -> Frames {
        Frames::over_unix(listener.accept().expect("accept").0).accepted(settings)
    }

    #[track_caller]
    fn accepted(self, settings: &[(u16, u32)]) -> Frames {
        let mut frames = self;
        let mut preface = [0; PREFACE.len()];
        frames.stream.socket().set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        frames.stream.read_exact(&mut preface).expect("a preface");
        assert_eq!(preface, PREFACE);
        frames.send(Frame::new(SETTINGS, 0, 0, payload_of(settings)));
        frames.settle();
        frames
    }

    /// The next request's head, and its stream.
    #[track_caller]
    pub fn request(&mut self) -> (u32, Vec<(String, String)>, bool) {
        let frame = self.wait("a request", |frame| frame.kind == HEADERS);
        let (stream, last) = (frame.stream, frame.has(END_STREAM));
        (stream, self.decode(frame), last)
    }

    /// We take no streams behind this one.
    #[track_caller]
    pub fn go_away(&mut self, last: u32, code: u32) {
        self.send(Frame::new(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat()));
    }

    /// Nothing said yet.
    #[track_caller]
    pub fn bare(to: SocketAddr) -> Frames {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        Frames::over(stream)
    }

    /// Under TLS, whatever was agreed on; nothing said yet.
    pub fn under_tls(secure: Secure) -> Frames {
        Frames::carried(Box::new(secure.stream))
    }

    /// Preface and empty SETTINGS sent, the proxy's SETTINGS seen and acknowledged.
    #[track_caller]
    pub fn connect_unix(to: &Path) -> Frames {
        let mut frames = Frames::over_unix(UnixStream::connect(to).unwrap_or_else(|error| panic!("connect to {}: {error}", to.display())));
        frames.begin();
        frames.settle();
        frames
    }

    fn over(stream: TcpStream) -> Frames {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Frames::of(stream)
    }

    /// The same calls on another kind of socket.
    fn over_unix(stream: UnixStream) -> Frames {
        Frames::of(TcpStream::from(OwnedFd::from(stream)))
    }

    fn of(stream: TcpStream) -> Frames {
        stream.set_nonblocking(false).expect("a blocking socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Frames::carried(Box::new(stream))
    }

    fn carried(stream: Box<dyn Carrier>) -> Frames {
        Frames { stream, read: Vec::new(), waiting: VecDeque::new(), decoder: Decoder::default(), ended: false }
    }

    /// Preface and empty SETTINGS, without waiting for anything.
    #[track_caller]
    pub fn begin(&mut self) {
        self.write(PREFACE);
        self.send(Frame::new(SETTINGS, 0, 0, []));
    }

    #[track_caller]
    fn settle(&mut self) {
        self.wait("SETTINGS", |frame| frame.kind == SETTINGS && !frame.has(ACK));
        self.send(Frame::new(SETTINGS, ACK, 0, []));
    }

    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).expect("write");
    }

    /// For those who expect to be cut off.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    #[track_caller]
    pub fn send(&mut self, frame: Frame) {
        self.write(frame.bytes());
    }

    /// A head, or trailers.
    #[track_caller]
    pub fn head(&mut self, stream: u32, fields: &[(&str, &str)], last: bool) {
        let flags = END_HEADERS | if last { END_STREAM } else { 0 };
        self.send(Frame::new(HEADERS, flags, stream, block(fields)));
    }

    /// A request as simple as can be.
    #[track_caller]
    pub fn get(&mut self, stream: u32, path: &str) {
        self.head(stream, &request("GET", path), true);
    }

    #[track_caller]
    pub fn data(&mut self, stream: u32, bytes: impl AsRef<[u8]>, last: bool) {
        self.send(Frame::new(DATA, if last { END_STREAM } else { 0 }, stream, bytes.as_ref()));
    }

    #[track_caller]
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send(Frame::new(RST_STREAM, 0, stream, code.to_be_bytes()));
    }

    #[track_caller]
    pub fn window(&mut self, stream: u32, more: u32) {
        self.send(Frame::new(WINDOW_UPDATE, 0, stream, more.to_be_bytes()));
    }

    /// The first frame that is wanted; what comes before it waits for others who ask.
    #[track_caller]
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Frame) -> bool) -> Frame {
        self.wait_for(what, wanted).unwrap_or_else(|| panic!("the connection ended before {what}; waiting: {:?}", self.waiting))
    }

    /// The same; `None`: the connection ended first.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.waiting.iter().position(&wanted) {
                return self.waiting.remove(at);
            }
            if self.ended {
                return None;
            }
            assert!(self.fill(deadline) || self.ended, "waited {PATIENCE:?} for {what}; waiting: {:?}", self.waiting);
        }
    }

    /// One that has come already.
    pub fn heard(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let at = self.waiting.iter().position(wanted)?;
        self.waiting.remove(at)
    }

    /// Frames that have come by the time that a PING has been there and back.
    #[track_caller]
    pub fn round(&mut self) -> &VecDeque<Frame> {
        self.send(Frame::new(PING, 0, 0, *b"to and f"));
        self.wait("the PING's answer", |frame| frame.kind == PING && frame.has(ACK) && frame.payload == b"to and f");
        &self.waiting
    }

    /// The next message on the stream, to its end.
    #[track_caller]
    pub fn message(&mut self, stream: u32) -> Heard {
        let (fields, mut last) = self.fields(stream);
        let mut heard = Heard { fields, ..Heard::default() };
        while !last {
            let frame = self.wait("the rest of a message", |frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
            last = frame.has(END_STREAM);
            match frame.kind {
                DATA => heard.body.extend_from_slice(&frame.payload),
                HEADERS => heard.trailers = self.decode(frame),
                _ => panic!("in the middle of {heard:?}: {frame:?}"),
            }
        }
        heard
    }

    /// The next block of fields on the stream, and whether the stream ends with it.
    #[track_caller]
    pub fn fields(&mut self, stream: u32) -> (Vec<(String, String)>, bool) {
        let frame = self.wait("a head", |frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
        assert_eq!(frame.kind, HEADERS, "where a head is due: {frame:?}");
        let last = frame.has(END_STREAM);
        (self.decode(frame), last)
    }

    /// Blocks of fields were decoded in the order in which they came, and the text is what is kept.
    fn decode(&mut self, frame: Frame) -> Vec<(String, String)> {
        String::from_utf8_lossy(&frame.payload)
            .split('\0')
            .collect::<Vec<_>>()
            .chunks_exact(2)
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect()
    }

    /// The code with which the stream is reset.
    #[track_caller]
    pub fn reset_code(&mut self, stream: u32) -> u32 {
        self.wait("RST_STREAM", |frame| frame.kind == RST_STREAM && frame.stream == stream).number(0)
    }

    /// Last stream and code of the next GOAWAY.
    #[track_caller]
    pub fn goaway(&mut self) -> (u32, u32) {
        let frame = self.wait("GOAWAY", |frame| frame.kind == GOAWAY);
        (frame.number(0), frame.number(4))
    }

    /// The connection is closed, whatever comes before.
    #[track_caller]
    pub fn assert_ends(&mut self) {
        assert_eq!(self.wait_for("the end", |_| false), None);
    }

    /// Whether it has ended; what has come is dropped.
    pub fn ended_meanwhile(&mut self) -> bool {
        self.fill(Instant::now());
        self.waiting.clear();
        self.ended
    }

    /// Reads once. `false`: nothing came by the deadline.
    fn fill(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.socket().set_read_timeout(Some(left)).expect("a read timeout");
        let mut room = [0; 64 << 10];
        let came = match self.stream.read(&mut room) {
            Ok(0) => {
                self.ended = true;
                false
            }
            Ok(n) => {
                self.read.extend_from_slice(&room[..n]);
                true
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => false,
                ErrorKind::Interrupted => true,
                _ => {
                    self.ended = true;
                    false
                }
            },
        };
        self.take_apart();
        came
    }

    fn take_apart(&mut self) {
        while self.read.len() >= 9 {
            if self.read.starts_with(PREFACE) {
                return;
            }
            let len = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]) as usize;
            if self.read.len() < 9 + len {
                return;
            }
            let bytes: Vec<u8> = self.read.drain(..9 + len).collect();
            let stream = u32::from_be_bytes(bytes[5..9].try_into().expect("four bytes"));
            let mut frame = Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() };
            if frame.kind == HEADERS {
                assert!(frame.has(END_HEADERS), "tests keep to heads of one frame");
                let fields = self.decoder.decode(&frame.payload);
                let flat: Vec<String> = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
                frame.payload = flat.join("\0").into_bytes();
            }
            self.waiting.push_back(frame);
        }
    }
}

/// The fields of a request as simple as can be.
pub fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")]
}

/// Fields, compressed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    hpack::encode(&fields)
}

fn payload_of(settings: &[(u16, u32)]) -> Vec<u8> {
    settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}
