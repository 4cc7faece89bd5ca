//! Our side of TLS with clients.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig, WebPkiClientVerifier};

use super::{Authorities, Names, Oldest, Pair, provider};

/// What a listener's TLS is made of. Two that are equal make the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// At least one; the first is the default.
    pub pairs: Vec<Pair>,
    /// Clients must show a certificate of one of these.
    pub client_ca: Option<Authorities>,
    pub oldest: Oldest,
    /// Offered by ALPN, the one that we like best first.
    pub protocols: &'static [&'static [u8]],
}

/// Tickets are sealed and opened by this one, for all listeners and workers and for as long as the process lives: a client that comes
/// back resumes its session wherever it lands, a reload in between or not. It changes its own keys every few hours.
///
/// `None`: there is no randomness to begin with, and sessions are not resumed.
fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETER: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    TICKETER.get_or_init(|| Ticketer::new().ok()).clone()
}

/// Cannot fail: what could be wrong was refused when its parts were read.
pub fn server(spec: &Server) -> (ServerConfig, Arc<Names>) {
    let names = Arc::new(Names::new(spec.pairs.clone()));
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(spec.oldest.versions())
        .expect("the provider has suites for every version");
    let builder = match &spec.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities.roots(), provider()).build();
            builder.with_client_cert_verifier(verifier.expect("there are authorities, and no lists of revocations"))
        }
    };
    let mut config = builder.with_cert_resolver(names.clone());
    config.alpn_protocols = spec.protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // State on our side is lost at the next worker; what is not in a ticket is not resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match (&spec.client_ca, ticketer()) {
        (None, Some(ticketer)) => config.ticketer = ticketer,
        // A resumed session is not asked for its certificate again, which may have expired since, or its authority been taken out.
        _ => config.send_tls13_tickets = 0,
    }
    (config, names)
}
