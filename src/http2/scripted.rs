//! For tests: a backend that speaks just enough HTTP/2, and no more than it is told to, on a clock that the test turns.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Connection, Exchange, Place};
use crate::failure::{Failure, Lost};
use crate::io::{Io, timer};
use crate::message::{Head, Version};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
/// END_STREAM and END_HEADERS.
const WHOLE: u8 = 5;
const MAX_CONCURRENT_STREAMS: u8 = 3;
/// `:status: 200`, as it stands in the static table.
const OK: u8 = 0x88;

/// What it does, and what it has seen.
#[derive(Default)]
pub struct Script {
    /// It does not even say that it speaks HTTP/2.
    pub mute: Cell<bool>,
    /// Streams that it takes at once; `None`: it does not say.
    pub streams_max: Cell<Option<u8>>,
    pub answers: Cell<bool>,
    pub answers_pings: Cell<bool>,
    pub connections: Cell<usize>,
    /// Those that have ended.
    pub ended: Cell<usize>,
    pub requests: Cell<usize>,
    pub pings: Cell<usize>,
}

pub struct Scripted {
    pub address: SocketAddr,
    pub script: Rc<Script>,
}

impl Scripted {
    pub async fn start() -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let (address, script) = (listener.local_addr().expect("an address"), Rc::new(Script::default()));
        let plays = script.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                plays.connections.set(plays.connections.get() + 1);
                let plays = plays.clone();
                tokio::task::spawn_local(async move {
                    // It ends with whatever ends the connection.
                    let _ = play(stream, &plays).await;
                    plays.ended.set(plays.ended.get() + 1);
                });
            }
        });
        Scripted { address, script }
    }

    /// For `Lines::claim`.
    pub fn connect(&self) -> impl Future<Output = Result<Rc<Connection>, Failure>> + 'static {
        let address = self.address;
        async move {
            let stream = TcpStream::connect(address).await.map_err(|_| Failure::ConnectFailed)?;
            Connection::begin(Io::tcp(stream), Duration::from_secs(3600)).await
        }
    }
}

async fn play(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    let settings = match script.streams_max.get() {
        Some(most) => vec![0, MAX_CONCURRENT_STREAMS, 0, 0, 0, most],
        None => Vec::new(),
    };
    if !script.mute.get() {
        send(&mut stream, SETTINGS, 0, 0, &settings).await?;
    }
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4] & ACK) {
            (HEADERS, _) => {
                script.requests.set(script.requests.get() + 1);
                if script.answers.get() {
                    send(&mut stream, HEADERS, WHOLE, number, &[OK]).await?;
                }
            }
            (SETTINGS, 0) if !script.mute.get() => send(&mut stream, SETTINGS, ACK, 0, &[]).await?,
            (PING, 0) => {
                script.pings.set(script.pings.get() + 1);
                if script.answers_pings.get() {
                    send(&mut stream, PING, ACK, 0, &payload).await?;
                }
            }
            _ => {}
        }
    }
}

async fn send(stream: &mut TcpStream, kind: u8, flags: u8, number: u32, payload: &[u8]) -> std::io::Result<()> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    stream.write_all(&[length, &[kind, flags], &number.to_be_bytes(), payload].concat()).await
}

/// A GET on this place.
pub async fn ask(place: Place) -> Result<Exchange, Lost> {
    place.send(&Head::request(b"GET", b"/", b"a.example", Version::Http11), &mut None, Duration::from_secs(3600)).await
}

/// Runs on a paused clock, with the wheel turning. The test must not wait but by `pass` and `until`: a runtime that has nothing to do moves
/// its clock by itself, and does not ask whether something is on its way through the kernel.
pub fn on_our_time<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(crate::io::tick());
        let mut test = std::pin::pin!(test);
        // Never idle, whatever the test waits for.
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            test.as_mut().poll(cx)
        })
        .await
    })
}

/// Lets so much time pass, and everybody use it.
pub async fn pass(time: Duration) {
    for _ in 0..time.as_millis() / timer::TICK.as_millis() {
        tokio::time::advance(timer::TICK).await;
        settle(4).await;
    }
    settle(100).await;
}

/// Without time passing.
pub async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !met() {
        assert!(began.elapsed() < Duration::from_secs(15), "waited for {what}");
        tokio::task::yield_now().await;
    }
}

async fn settle(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}
