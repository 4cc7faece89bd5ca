//! Our side of TLS with backends.
//!
//! Verified, always: there is no key to turn it off, and no fallback. Who has certificates that nobody else believes names their
//! authority.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;

use super::{Authorities, Oldest, Pair, provider};

/// Sessions kept for each backend: TLS 1.3 tickets are used once, and a backend may give several at a time.
const SESSIONS: usize = 32;

/// What a pool's TLS is made of. Two that are equal make the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// What the backends' certificates have to be for; `None`: each for its own address.
    pub server_name: Option<ServerName<'static>>,
    pub authorities: Authorities,
    /// What we show to backends that ask.
    pub pair: Option<Pair>,
    /// Offered by ALPN.
    pub protocols: &'static [&'static [u8]],
}

/// One backend as TLS sees it, and the sessions that can be resumed with it.
#[derive(Debug, Clone)]
pub struct Peer {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Peer {
    /// The same settings, sessions and all.
    pub fn is(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }

    /// Whether the protocol that a backend chose, or none, is the one to be spoken. Where HTTP/1.1 is, none will do.
    pub fn agrees_on(&self, chosen: Option<&[u8]>) -> bool {
        match chosen {
            Some(chosen) => self.config.alpn_protocols.iter().any(|offered| offered == chosen),
            None => !self.config.alpn_protocols.iter().any(|offered| offered == b"h2"),
        }
    }
}

impl Client {
    /// The backend at `address`; each has sessions of its own, for one knows nothing of another's tickets. `None`, a Unix socket: there is
    /// a `server_name`.
    pub fn peer(&self, config: &ClientConfig, address: Option<IpAddr>) -> Peer {
        let mut config = config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let own = || ServerName::IpAddress(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into());
        let name = self.server_name.clone().unwrap_or_else(own);
        Peer { config: Arc::new(config), name }
    }
}

/// Cannot fail: what could be wrong was refused when its parts were read.
pub fn client(spec: &Client) -> ClientConfig {
    let verifier = WebPkiServerVerifier::builder_with_provider(spec.authorities.roots(), provider()).build();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(Oldest::Tls12.versions())
        .expect("the provider has suites for every version")
        .with_webpki_verifier(verifier.expect("there are authorities, and no lists of revocations"));
    let mut config = match &spec.pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let certified = pair.certified().clone();
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
        }
    };
    config.alpn_protocols = spec.protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
