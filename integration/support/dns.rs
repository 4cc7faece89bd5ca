//! A small name server whose every answer the test decides: over UDP and, on the same port, TCP. It writes its own packets
//! (RFC 1035), so that what the proxy's resolver reads was not made by that resolver.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What the server says of a name; of all others it says that they do not exist.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses, A and AAAA, for so many seconds.
    Addresses(u32, Vec<IpAddr>),
    /// Priority, weight, port, target.
    Services(u32, Vec<(u16, u16, u16, String)>),
    /// The name is there, and has nothing.
    Empty,
    NoSuchName,
    ServerFailure,
    /// Nothing at all, however long one waits.
    Silence,
    /// The addresses, but nothing to those who ask for AAAA.
    SilenceOnIpv6(u32, Vec<IpAddr>),
}

pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    says: Mutex<HashMap<String, Says>>,
    asked: Mutex<Vec<(String, Transport)>>,
    over: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

impl NameServer {
    pub fn start() -> NameServer {
        // The kernel's range serves here: what is bound at once is nobody else's.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("an address");
        let shared = Arc::new(Shared { says: Mutex::default(), asked: Mutex::default(), over: AtomicBool::new(false) });
        udp.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let (over_udp, over_tcp) = (shared.clone(), shared.clone());
        let threads = vec![thread::spawn(move || serve_udp(&udp, &over_udp)), thread::spawn(move || serve_tcp(&tcp, &over_tcp))];
        NameServer { address, shared, threads }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. `name` without the dot at its end.
    pub fn say(&self, name: &str, says: Says) {
        self.shared.says.lock().expect("what it says").insert(name.to_owned(), says);
    }

    /// The same for IPv4 addresses of one second.
    pub fn point(&self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.say(name, Says::Addresses(1, addresses.into_iter().map(|address| address.ip()).collect()));
    }

    /// Queries so far, of any type.
    pub fn asked(&self, name: &str, by: Transport) -> usize {
        self.shared.asked.lock().expect("what was asked").iter().filter(|(other, how)| other == name && *how == by).count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut query = [0; 1500];
    while !shared.over.load(Ordering::SeqCst) {
        let Ok((n, from)) = socket.recv_from(&mut query) else { continue };
        if let Some(answer) = answer(&query[..n], Transport::Udp, shared) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let (mut stream, shared) = (stream.expect("accept"), shared.clone());
        // Ends with its connection.
        thread::spawn(move || {
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                if stream.read_exact(&mut query).is_err() {
                    return;
                }
                let Some(answer) = answer(&query, Transport::Tcp, &shared) else { continue };
                let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                if stream.write_all(&framed).is_err() {
                    return;
                }
            }
        });
    }
}

/// The most that fits where the asker has said nothing else; what is longer is cut, and asked for again over TCP.
const UDP_BYTES: usize = 512;

fn answer(query: &[u8], by: Transport, shared: &Shared) -> Option<Vec<u8>> {
    let (name, question_end) = name_at(query, 12)?;
    let kind = u16::from_be_bytes([*query.get(question_end)?, *query.get(question_end + 1)?]);
    let question = &query[12..question_end + 4];
    let name = name.to_ascii_lowercase();
    shared.asked.lock().expect("what was asked").push((name.clone(), by));
    let says = shared.says.lock().expect("what it says").get(&name).cloned().unwrap_or(Says::NoSuchName);
    let (code, records) = match says {
        Says::Silence => return None,
        Says::SilenceOnIpv6(..) if kind == AAAA => return None,
        Says::Addresses(ttl, addresses) | Says::SilenceOnIpv6(ttl, addresses) => (0, addresses_of(kind, ttl, &addresses)),
        Says::Services(ttl, services) if kind == SRV => (0, services.iter().map(|service| srv(ttl, service)).collect()),
        Says::Services(..) | Says::Empty => (0, Vec::new()),
        Says::ServerFailure => (2, Vec::new()),
        Says::NoSuchName => (3, Vec::new()),
    };
    let header = |flags: u16, records: u16| {
        let id = &query[..2];
        [id, &flags.to_be_bytes(), &1u16.to_be_bytes(), &records.to_be_bytes(), &[0; 4]].concat()
    };
    // An answer; recursion was asked for and is to be had.
    let flags = 0x8180 | code;
    let whole = [header(flags, records.len() as u16), question.to_vec(), records.concat()].concat();
    if by == Transport::Udp && whole.len() > UDP_BYTES {
        return Some([header(flags | 0x0200, 0), question.to_vec()].concat());
    }
    Some(whole)
}

fn addresses_of(kind: u16, ttl: u32, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    let of_kind = addresses.iter().filter_map(|address| match (kind, address) {
        (A, IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
        (AAAA, IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
        _ => None,
    });
    of_kind.map(|octets| record(kind, ttl, &octets)).collect()
}

fn srv(ttl: u32, (priority, weight, port, target): &(u16, u16, u16, String)) -> Vec<u8> {
    let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
    let mut target: Vec<u8> =
        target.split('.').filter(|label| !label.is_empty()).flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    target.push(0);
    record(SRV, ttl, &[numbers, target].concat())
}

/// Of the name in the question, which a pointer stands for.
fn record(kind: u16, ttl: u32, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16;
    [&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1], &ttl.to_be_bytes(), &length.to_be_bytes(), content].concat()
}

/// A name without pointers, and where it ends.
fn name_at(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).into_owned());
        at += length;
    }
}
