//! Certificates, and what TLS is made of with them: who we are to whom (`pair`, `names`), whom we believe (`authorities`), and the
//! settings of either side of a connection (`server`, `client`). No socket and no file: bytes come in, settings go out.
//!
//! The cryptography is aws-lc's, handed to rustls by name wherever it is wanted: a process-wide default could be another crate's.

mod authorities;
mod client;
mod names;
mod pair;
mod server;
mod subject;

use std::sync::{Arc, OnceLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

pub use authorities::{Authorities, System};
pub use client::{Client, Peer, client};
pub use names::{Named, Names};
pub use pair::{Pair, Refusal};
pub use server::{Server, server};
pub use subject::subject;

/// All algorithms that we speak; X25519MLKEM768 before all other key exchanges, so that what is recorded today is safe from the
/// quantum computers of later.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oldest {
    Tls12,
    Tls13,
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];

impl std::fmt::Display for Oldest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Oldest::Tls12 => "1.2",
            Oldest::Tls13 => "1.3",
        })
    }
}

impl Oldest {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Oldest::Tls12 => &BOTH,
            Oldest::Tls13 => &NEWEST,
        }
    }
}
