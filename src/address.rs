//! Where a socket is: an IP address and a port, or the path of a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Cloning costs no allocation, and of an IP address nothing but the copy. Shown and read as the configuration has it: `10.0.0.1:80`,
/// `[::1]:80`, `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Ip(SocketAddr),
    Unix(Arc<Path>),
}

/// What stands before the path of a Unix socket.
pub const UNIX: &str = "unix:";
/// The longest path that the kernel takes (`sun_path`, less its final NUL).
pub const PATH_BYTES_MAX: usize = 107;

impl Address {
    /// `None`: a Unix socket has none.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Whether it can be reached from this machine only.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Ip(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Address {
        Address::Ip(address.into())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.into())
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        matches!(self, Address::Ip(address) if address == other)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// The text is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address and a port, nor `unix:` and a path")]
pub struct NoAddress;

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Address, NoAddress> {
        match text.strip_prefix(UNIX) {
            Some(path) if !path.is_empty() => Ok(Path::new(path).into()),
            Some(_) => Err(NoAddress),
            None => text.parse().map(Address::Ip).map_err(|_| NoAddress),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for text in ["10.0.0.1:80", "[::1]:80", "unix:/run/app.sock", "unix:app.sock"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(text));
            let json = serde_json::to_string(&text.parse::<Address>().unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Address>(&json).unwrap().to_string(), text);
        }
        for text in ["", "unix:", "10.0.0.1", "app:80", "/run/app.sock"] {
            assert_eq!(text.parse::<Address>(), Err(NoAddress), "{text}");
        }
    }
}
