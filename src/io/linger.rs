//! Closing in stages: no more from us, then a little patience.
//!
//! Closing at once with bytes unread makes the kernel send a reset, which can overtake the last that was written on its way to the other
//! end.

use std::future::poll_fn;
use std::time::Duration;

use super::{Buffer, Io, Timer};

/// What is still read, so that the other end gets our last words before it learns that we no longer listen.
const LINGER_BYTES_MAX: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// Says that nothing more will be written, and waits for the other end to see it. The connection is to be closed then.
pub async fn linger(io: &Io, timer: &Timer) {
    let closed = async {
        // Under TLS there is something to say first, and somebody who does not read leaves no room for it.
        if poll_fn(|cx| io.poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut buffer = Buffer::new();
        let mut left = LINGER_BYTES_MAX;
        while let Ok(n) = buffer.fill(io).await {
            if n == 0 || n >= left {
                return;
            }
            left -= n;
            buffer.consume(n);
        }
    };
    // Elapsed or not, the connection closes now.
    let _ = timer.limit(LINGER, closed).await;
}
