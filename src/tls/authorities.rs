//! Whom we believe when the other side shows a certificate.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Refusal;
use super::pair::in_words;

/// Certificates of authorities. Never empty, and cheap to clone.
#[derive(Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
}

/// What the system has to offer, and what was wrong with the rest.
pub struct System {
    /// `None`: nothing at all.
    pub authorities: Option<Authorities>,
    pub troubles: Vec<String>,
}

impl Authorities {
    /// From a file in PEM: every certificate in it, and each must be one.
    pub fn parse(pem: &[u8]) -> Result<Authorities, Refusal> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| Refusal::Certificate(in_words(&error)))?;
            roots.add(certificate).map_err(|error| Refusal::Certificate(error.to_string()))?;
        }
        match roots.is_empty() {
            true => Err(Refusal::NoCertificate),
            false => Ok(Authorities { roots: roots.into() }),
        }
    }

    /// Those that the system trusts, as they are when somebody asks first.
    pub fn of_system() -> &'static System {
        static SYSTEM: OnceLock<System> = OnceLock::new();
        SYSTEM.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            let mut troubles: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let mut roots = RootCertStore::empty();
            let (_, unusable) = roots.add_parsable_certificates(found.certs);
            if unusable > 0 {
                troubles.push(format!("{unusable} of them cannot be used"));
            }
            System { authorities: (!roots.is_empty()).then(|| Authorities { roots: roots.into() }), troubles }
        })
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Authorities) -> bool {
        Arc::ptr_eq(&self.roots, &other.roots) || self.roots.roots == other.roots.roots
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.roots.len())
    }
}
