//! A tunnel over a connection of its own: what it becomes when a backend has switched protocols.
//!
//! Each direction has a buffer only while it holds bytes.

use crate::failure::Failure;
use crate::io::both_ways::{self, Direction, Stream};
use crate::io::{Buffer, Io, Scratch, Timer};
use crate::message::Tunnel;

/// Writes `opening` (the 101) to the client, then moves bytes. `early`: what the client sent behind its request.
pub async fn run(client: &Io, mut opening: Scratch, early: Buffer, tunnel: Box<Tunnel>, timer: &Timer) {
    let Tunnel { io: upstream, early: answered, idle_timeout, mut ending, guard } = *tunnel;
    opening.extend_from_slice(&answered);
    let opened = timer.limit(idle_timeout, client.write_all(&opening)).await;
    drop(opening);

    let mut up = Direction::new(Stream::new(client, early), &upstream);
    let mut down = Direction::new(Stream::new(&upstream, Buffer::new()), client);
    let ended = if !matches!(opened, Ok(Ok(()))) {
        Err(Failure::ClientGone)
    } else {
        if let Some(ending) = &mut ending {
            ending.sent(answered.len() as u64);
        }
        let count = |bytes| {
            if let Some(ending) = &mut ending {
                ending.sent(bytes);
            }
        };
        both_ways::drive(&mut up, &mut down, timer, idle_timeout, count).await
    };
    match (ending, ended) {
        (Some(ending), Ok(())) => ending.complete(),
        (Some(mut ending), Err(failure)) => ending.broke(failure),
        (None, _) => {}
    }
    drop(guard);
}

#[cfg(test)]
mod tests;
