//! One new connection to a backend, within its time.

use std::time::Duration;

use nix::errno::Errno;

use crate::address::Address;
use crate::failure::Failure;
use crate::http1::client::Connection;
use crate::io::{self, Io, Timer};

/// Connects. Cancel safe: a dropped call closes the socket. `introduction`: goes out before anything else; may be empty.
pub async fn connect(address: &Address, introduction: &[u8], timeout: Duration) -> Result<Box<Connection>, Failure> {
    let connected = async {
        let io = Io::tcp(io::connect(address).await?);
        io.write_all(introduction).await?;
        Ok(io)
    };
    match Timer::new().limit(timeout, connected).await {
        Ok(Ok(io)) => Ok(Connection::new(io)),
        Ok(Err(error)) => Err(judge(&error)),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}

/// Whose fault it is. Running out of descriptors or ports here says nothing about the backend.
pub(super) fn judge(error: &std::io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::EADDRNOTAVAIL | Errno::ENOBUFS | Errno::ENOMEM) => Failure::ResourcesExhausted,
        Some(Errno::ECONNREFUSED) => Failure::ConnectRefused,
        Some(Errno::ETIMEDOUT) => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_shortage_is_not_the_backends_fault() {
        for (errno, failure) in [
            (Errno::EMFILE, Failure::ResourcesExhausted),
            (Errno::EADDRNOTAVAIL, Failure::ResourcesExhausted),
            (Errno::ECONNREFUSED, Failure::ConnectRefused),
            (Errno::EHOSTUNREACH, Failure::ConnectFailed),
            (Errno::ETIMEDOUT, Failure::ConnectTimeout),
        ] {
            assert_eq!(judge(&std::io::Error::from_raw_os_error(errno as i32)), failure, "{errno}");
        }
    }
}
