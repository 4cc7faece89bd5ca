//! A certificate with its key, as files have them: whole, parsed and found to belong together, or refused with the reason.
//!
//! Half-written files are met every day (a renewal writes the certificate first, the key a moment later), so nothing less than a
//! whole pair ever gets out of here.

use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why two files are no pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("a certificate in it cannot be read: {0}")]
    Certificate(String),
    #[error("there is no private key in it")]
    NoKey,
    #[error("the private key in it cannot be used: {0}")]
    Key(String),
    #[error("the private key in it is not that of the certificate")]
    Mismatch,
}

impl Refusal {
    /// In words about a file.
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        match self {
            Refusal::NoCertificate => format!("there is no certificate in `{file}`"),
            Refusal::NoKey => format!("there is no private key in `{file}`"),
            other => format!("`{file}`: {other}"),
        }
    }

    /// It is the file with the key that is wrong, or both together.
    pub fn is_about_the_key(&self) -> bool {
        matches!(self, Refusal::NoKey | Refusal::Key(_) | Refusal::Mismatch)
    }
}

/// A certificate, those that lead to its authority, and its private key. Cheap to clone.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    names: Arc<[String]>,
    not_before: i64,
    not_after: i64,
}

impl Pair {
    /// From two files in PEM, which may be one and the same: the certificate first, then the chain behind it.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Pair, Refusal> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Certificate(in_words(&error)))?;
        let leaf = chain.first().ok_or(Refusal::NoCertificate)?;
        let (names, not_before, not_after) = look_at(leaf)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => Refusal::NoKey,
            error => Refusal::Key(in_words(&error)),
        })?;
        let certified = CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Refusal::Mismatch,
            rustls::Error::InvalidCertificate(error) => Refusal::Certificate(format!("{error:?}")),
            error => Refusal::Key(error.to_string()),
        })?;
        Ok(Pair { certified: Arc::new(certified), names: names.into(), not_before, not_after })
    }

    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The DNS names that it is for, in lower case; `*.` at the front of those that stand for any label.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it begins to be valid, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// When it expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether it may speak for `host`, which is in lower case and without a port.
    pub fn covers(&self, host: &str) -> bool {
        let under = |name: &String| name.strip_prefix('*').is_some_and(|suffix| is_one_label_of(host, suffix));
        self.names.iter().any(|name| *name == host || under(name))
    }
}

/// Whether `host` is one label in front of `suffix`, which begins with a dot (RFC 6125 6.4.3).
pub(super) fn is_one_label_of(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

/// Certificates that are equal have equal keys, for both were found to match.
impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// Nothing of the key.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("names", &self.names).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// What is wrong with a text that should be PEM.
pub(super) fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it has no end, as if it were half-written".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "it has no proper beginning".to_owned(),
        error => error.to_string(),
    }
}

fn look_at(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, i64, i64), Refusal> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| Refusal::Certificate(error.to_string()))?;
    let alternative = leaf.subject_alternative_name().map_err(|error| Refusal::Certificate(error.to_string()))?;
    let mut names: Vec<String> = match &alternative {
        Some(alternative) => (alternative.value.general_names.iter())
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect(),
        // Old ones have their only name here, and those who still hold one trust it as a whole.
        None => leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_ascii_lowercase).collect(),
    };
    names.dedup();
    let validity = leaf.validity();
    Ok((names, validity.not_before.timestamp(), validity.not_after.timestamp()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pair that signs itself, in PEM: certificate and key.
    pub fn files(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("names of a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    pub fn pair(names: &[&str]) -> Pair {
        let (certificate, key) = files(names);
        Pair::parse(certificate.as_bytes(), key.as_bytes()).expect("a pair")
    }

    #[test]
    fn nothing_less_than_a_pair_is_one() {
        let (certificate, key) = files(&["a.example", "*.B.example"]);
        let (_, other) = files(&["a.example"]);
        let parse = |certificate: &str, key: &str| Pair::parse(certificate.as_bytes(), key.as_bytes());
        assert_eq!(parse(&certificate, &key).expect("a pair").names(), ["a.example", "*.b.example"]);
        let both = format!("{key}{certificate}");
        assert_eq!(parse(&both, &both), parse(&certificate, &key), "one file with both");
        assert_eq!(parse(&certificate, &other), Err(Refusal::Mismatch));
        assert_eq!(parse("", &key), Err(Refusal::NoCertificate));
        assert_eq!(parse(&key, &certificate), Err(Refusal::NoCertificate), "the wrong way round");
        assert_eq!(parse(&certificate, ""), Err(Refusal::NoKey));
        for end in 0..certificate.len() - 1 {
            assert!(parse(&certificate[..end], &key).is_err(), "cut at {end}");
        }
        for end in 0..key.len() - 1 {
            assert!(parse(&certificate, &key[..end]).is_err(), "key cut at {end}");
        }
    }

    #[test]
    fn a_star_is_one_label() {
        let pair = pair(&["a.example", "*.b.example"]);
        for (host, covered) in [
            ("a.example", true),
            ("x.b.example", true),
            ("b.example", false),
            ("x.y.b.example", false),
            (".b.example", false),
            ("x.a.example", false),
            ("", false),
        ] {
            assert_eq!(pair.covers(host), covered, "{host}");
        }
    }

    #[test]
    fn the_key_is_never_shown() {
        let (certificate, key) = files(&["a.example"]);
        let shown = format!("{:?}", Pair::parse(certificate.as_bytes(), key.as_bytes()));
        assert!(shown.contains("a.example") && !shown.contains("key"), "{shown}");
    }
}
