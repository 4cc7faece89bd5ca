//! Asks at a constant rate, whatever becomes of the answers, and says how long they took *from when they were due*. A generator that
//! waits for an answer before it asks again asks less while the proxy stalls, and leaves the worst out of its statistics
//! (coordinated omission); here a stall is felt by every request that was due meanwhile.
//!
//!     pace ADDRESS PATH RATE CONNECTIONS SECONDS REQUESTS_PER_CONNECTION
//!
//! One thread for each connection, each with an even share of the schedule. After so many requests a connection is closed and
//! another opened, which counts in the time of the next request; 0: never. Needs nothing but the standard library, so that
//! `rustc -O` builds it in seconds. Prints one line of JSON, times in microseconds.

#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for measuring waits, starts threads and gives up as it needs"
)]

use std::io::{Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, rate, connections, seconds, per_connection] = &arguments[..] else {
        panic!("pace ADDRESS PATH RATE CONNECTIONS SECONDS REQUESTS_PER_CONNECTION");
    };
    let (rate, connections): (f64, u32) = (rate.parse().unwrap(), connections.parse().unwrap());
    let interval = Duration::from_secs_f64(f64::from(connections) / rate);
    let began = Instant::now() + Duration::from_millis(100);
    let plan = Plan {
        address: address.parse().unwrap(),
        request: format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: pace\r\n\r\n").into_bytes(),
        per_connection: per_connection.parse().unwrap(),
        interval,
        end: began + Duration::from_secs_f64(seconds.parse().unwrap()),
    };
    let seats: Vec<Seen> = thread::scope(|scope| {
        let seat = |n| {
            let plan = &plan;
            let first = began + interval * n / connections;
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, move || plan.keep(first)).unwrap()
        };
        let threads: Vec<_> = (0..connections).map(seat).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let took = began.elapsed().as_secs_f64();
    let errors: usize = seats.iter().map(|seat| seat.errors).sum();
    let bytes: usize = seats.iter().map(|seat| seat.bytes).sum();
    let mut times: Vec<Duration> = seats.into_iter().flat_map(|seat| seat.times).collect();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).map_or(0, Duration::as_micros);
    let shares = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];
    let curve: Vec<String> = shares.iter().map(|share| format!("[{share}, {}]", at(*share))).collect();
    println!(
        "{{\"requests\": {}, \"seconds\": {took}, \"errors\": {errors}, \"bytes\": {bytes}, \"p50_us\": {}, \"p99_us\": {}, \"curve\": [{}]}}",
        times.len(),
        at(0.5),
        at(0.99),
        curve.join(", ")
    );
}

struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    per_connection: usize,
    interval: Duration,
    end: Instant,
}

#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    /// Of content.
    bytes: usize,
    errors: usize,
}

impl Plan {
    /// One connection's part of the schedule.
    fn keep(&self, first: Instant) -> Seen {
        let (mut seen, mut due) = (Seen::default(), first);
        let mut connection: Option<(TcpStream, usize)> = None;
        while due < self.end {
            if Instant::now() > self.end + PATIENCE {
                seen.errors += 1;
                due += self.interval;
                continue;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match self.ask(&mut connection) {
                Ok(bytes) => {
                    seen.times.push(due.elapsed());
                    seen.bytes += bytes;
                }
                Err(_) => {
                    connection = None;
                    seen.errors += 1;
                }
            }
            due += self.interval;
        }
        seen
    }

    fn ask(&self, connection: &mut Option<(TcpStream, usize)>) -> Result<usize, Error> {
        if connection.as_ref().is_some_and(|(_, asked)| *asked == self.per_connection && self.per_connection > 0) {
            *connection = None;
        }
        let (stream, asked) = match connection {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                connection.insert((stream, 0))
            }
        };
        *asked += 1;
        stream.write_all(&self.request)?;
        read_answer(stream)
    }
}

/// To its end, as its `Content-Length` says; anything but 200 is an error.
fn read_answer(stream: &mut TcpStream) -> Result<usize, Error> {
    let mut read = [0; 64 << 10];
    let mut filled = 0;
    let wrong = |what: &str| Error::other(what.to_owned());
    loop {
        match stream.read(&mut read[filled..])? {
            0 => return Err(wrong("it ends early")),
            more => filled += more,
        }
        let Some(head) = read[..filled].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&read[..head]).map_err(|_| wrong("not text"))?.to_ascii_lowercase();
        let length = text.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).ok_or_else(|| wrong("no length"))?;
        if !text.starts_with("http/1.1 200 ") || head + 4 + length > read.len() {
            return Err(wrong("not the answer that was asked for"));
        }
        if filled >= head + 4 + length {
            return Ok(length);
        }
    }
}
