//! The files that TLS is made of: which of them a configuration names, and what is in them now.
//!
//! They have a life of their own. A renewal writes the certificate, then the key, and tells nobody; so what was read with the text
//! is only the beginning, and a `Watch` over `Credential::subject` tells of the rest. What is found there goes into the
//! configuration in force in the place of what it had (`put`), and from there where every edit goes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::model::{AuthoritiesFile, Certificate, Config, PairFiles, PoolTls};
use super::watch::Subject;
use crate::tls::{Authorities, Pair, Refusal};

/// One thing that stands in files, as the configuration names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// A certificate and its key.
    Pair(PairFiles),
    /// Certificates of authorities.
    Authorities(PathBuf),
}

/// What is in the files of a credential.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Pair(Pair),
    Authorities(Authorities),
}

/// Why what is in the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// As the configuration names it.
    pub file: PathBuf,
    pub reason: String,
}

/// What a look at the files gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Of the bytes: they have to come to rest even where what they mean does not change.
    digest: u64,
    pub found: Result<Found, Trouble>,
}

/// Who has a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Listener(String),
    Pool(String),
}

/// Every credential that the configuration names, with who has it and what it has in it; one that several have comes several times.
pub fn named(config: &Config) -> Vec<(Credential, Owner, Found)> {
    let pair = |Certificate { files, pair }: &Certificate| (Credential::Pair(files.clone()), Found::Pair(pair.clone()));
    let mut named = Vec::new();
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        let authorities = tls.client_ca.iter().map(|AuthoritiesFile { file, authorities }| of_authorities(file, authorities));
        let each = tls.certificates.iter().map(pair).chain(authorities);
        named.extend(each.map(|(credential, found)| (credential, Owner::Listener(listener.name.clone()), found)));
    }
    for pool in &config.pools {
        let Some(PoolTls { authorities, ca, certificate, .. }) = &pool.tls else { continue };
        let each = certificate.iter().map(pair).chain(ca.iter().map(|file| of_authorities(file, authorities)));
        named.extend(each.map(|(credential, found)| (credential, Owner::Pool(pool.name.clone()), found)));
    }
    named
}

fn of_authorities(file: &Path, authorities: &Authorities) -> (Credential, Found) {
    (Credential::Authorities(file.to_owned()), Found::Authorities(authorities.clone()))
}

/// Puts what was found in the place of what was there before, wherever the configuration names the credential.
pub fn put(config: &mut Config, credential: &Credential, found: &Found) {
    match (credential, found) {
        (Credential::Pair(files), Found::Pair(pair)) => {
            let of_listeners =
                config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()).flat_map(|tls| &mut tls.certificates);
            let of_pools = config.pools.iter_mut().filter_map(|pool| pool.tls.as_mut()?.certificate.as_mut());
            of_listeners
                .chain(of_pools)
                .filter(|certificate| certificate.files == *files)
                .for_each(|certificate| certificate.pair = pair.clone());
        }
        (Credential::Authorities(file), Found::Authorities(authorities)) => {
            let of_listeners = config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()?.client_ca.as_mut());
            of_listeners.filter(|ca| ca.file == *file).for_each(|ca| ca.authorities = authorities.clone());
            let of_pools = config.pools.iter_mut().filter_map(|pool| pool.tls.as_mut());
            of_pools.filter(|tls| tls.ca.as_ref() == Some(file)).for_each(|tls| tls.authorities = authorities.clone());
        }
        (Credential::Pair(_), Found::Authorities(_)) | (Credential::Authorities(_), Found::Pair(_)) => {}
    }
}

impl Credential {
    /// To be watched. `directory`: of the configuration, to which paths are relative. What is there first is told as well.
    pub fn subject(&self, directory: &Path) -> io::Result<Subject<Option<Look>>> {
        let paths = self.files().into_iter().map(|file| std::path::absolute(directory.join(file))).collect::<io::Result<Vec<_>>>()?;
        let (credential, files) = (self.clone(), paths.clone());
        let mut last: Option<Look> = None;
        let read = move || {
            let contents: Vec<io::Result<Vec<u8>>> = files.iter().map(|file| super::read_bytes(file)).collect();
            let digest = digest(&contents);
            // Parsing costs more than reading, and mostly nothing has happened.
            if last.as_ref().is_none_or(|last| last.digest != digest) {
                last = Some(Look { digest, found: credential.parse(&contents) });
            }
            last.clone()
        };
        Ok(Subject { paths, read: Box::new(read), known: None })
    }

    /// Each once.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Credential::Pair(PairFiles { certificate, key }) if certificate == key => vec![certificate],
            Credential::Pair(PairFiles { certificate, key }) => vec![certificate, key],
            Credential::Authorities(file) => vec![file],
        }
    }

    /// `contents`: of its files.
    fn parse(&self, contents: &[io::Result<Vec<u8>>]) -> Result<Found, Trouble> {
        let mut whole = Vec::new();
        for (file, bytes) in self.files().into_iter().zip(contents) {
            match bytes {
                Ok(bytes) => whole.push((file, bytes)),
                Err(error) => return Err(Trouble { file: file.to_owned(), reason: unreadable(error) }),
            }
        }
        let [(first, bytes), ..] = whole[..] else { unreachable!("a credential has files") };
        let (last, key) = whole[whole.len() - 1];
        let trouble = |refusal: Refusal| {
            let file = if refusal.is_about_the_key() { last } else { first };
            Trouble { file: file.to_owned(), reason: refusal.to_string() }
        };
        match self {
            Credential::Pair(_) => Pair::parse(bytes, key).map(Found::Pair),
            Credential::Authorities(_) => Authorities::parse(bytes).map(Found::Authorities),
        }
        .map_err(trouble)
    }
}

/// Why there are no bytes, in words.
pub(super) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => error.to_string(),
    }
}

fn digest(contents: &[io::Result<Vec<u8>>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for bytes in contents {
        bytes.as_ref().map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::watch::Watch;

    fn files(names: &[&str]) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn text(certificate: &str) -> String {
        format!(
            "[listen.web]\naddress = \"127.0.0.1:8443\"\ntls = {{ certificates = [{certificate}], client_ca = \"a.pem\" }}\n\
             [pool.app]\nbackends = [\"127.0.0.1:1\"]\ntls = {{ ca = \"a.pem\", certificate = \"a.pem\", key = \"a.key\" }}\n[[route]]\npool = \"app\"\n"
        )
    }

    const A: &str = "{ certificate = \"a.pem\", key = \"a.key\" }";

    #[test]
    fn what_is_found_goes_wherever_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("tidegate.toml");
        let write = |(certificate, key): (String, String)| {
            fs::write(directory.path().join("a.pem"), certificate).unwrap();
            fs::write(directory.path().join("a.key"), key).unwrap();
        };
        write(files(&["a.example"]));
        let (mut config, _) = super::super::parse(&text(A), name.to_str().unwrap()).unwrap();
        let before = named(&config);
        assert_eq!(before.len(), 4);
        write(files(&["b.example"]));
        for (credential, _, old) in &before {
            let found = (credential.subject(directory.path()).unwrap().read)().unwrap().found.unwrap();
            assert_ne!(found, *old, "{credential:?}");
            put(&mut config, credential, &found);
        }
        let (read, _) = super::super::parse(&text(A), name.to_str().unwrap()).unwrap();
        assert_eq!(config, read, "as if it had been read anew");
    }

    #[test]
    fn trouble_names_the_file_and_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let ((certificate, key), (_, other)) = (files(&["a.example"]), files(&["a.example"]));
        let credential = Credential::Pair(PairFiles { certificate: "a.pem".into(), key: "a.key".into() });
        let mut subject = credential.subject(directory.path()).unwrap();
        let mut look = |pem: Option<&str>, key: Option<&str>| {
            for (name, contents) in [("a.pem", pem), ("a.key", key)] {
                let file = directory.path().join(name);
                match contents {
                    Some(contents) => fs::write(file, contents).unwrap(),
                    None => drop(fs::remove_file(file)),
                }
            }
            (subject.read)().unwrap().found.map(drop).map_err(|Trouble { file, reason }| format!("{}: {reason}", file.display()))
        };
        let half = &certificate[..certificate.len() / 2];
        assert_eq!(look(Some(&certificate), Some(&key)), Ok(()));
        for (pem, key, trouble) in [
            (None, Some(&*key), "a.pem: there is no such file"),
            (Some(&*certificate), None, "a.key: there is no such file"),
            (Some(""), Some(&key), "a.pem: there is no certificate in it"),
            (Some(&certificate), Some(""), "a.key: there is no private key in it"),
            (Some(&certificate), Some(&other), "a.key: the private key in it is not that of the certificate"),
        ] {
            assert_eq!(look(pem, key), Err(trouble.to_owned()));
        }
        assert!(look(Some(half), Some(&key)).unwrap_err().starts_with("a.pem: "));
        assert_eq!(look(Some(&certificate), Some(&key)), Ok(()));
    }

    #[tokio::test]
    async fn a_pair_that_is_written_one_file_after_the_other_is_told_whole() {
        let directory = tempfile::tempdir().unwrap();
        let credential = Credential::Pair(PairFiles { certificate: "a.pem".into(), key: "a.key".into() });
        let mut watch = Watch::start("watch", vec![credential.subject(directory.path()).unwrap()]).unwrap();
        for name in ["a.example", "b.example"] {
            let (certificate, key) = files(&[name]);
            fs::write(directory.path().join("a.pem"), certificate).unwrap();
            fs::write(directory.path().join("a.key"), key).unwrap();
            loop {
                let told = tokio::time::timeout(std::time::Duration::from_secs(20), watch.changed()).await.expect("in time").unwrap();
                match &told[0].as_ref().unwrap().found {
                    Ok(Found::Pair(pair)) if pair.names() == [name] => break,
                    // Seen in between, on a machine that is busy.
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    #[test]
    fn a_text_read_over_another_keeps_what_is_broken_now() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("tidegate.toml");
        let name = name.to_str().unwrap();
        let (certificate, key) = files(&["a.example"]);
        let pem = directory.path().join("a.pem");
        fs::write(&pem, &certificate).unwrap();
        fs::write(directory.path().join("a.key"), &key).unwrap();
        let (config, _) = super::super::parse(&text(A), name).unwrap();
        for broken in [Some(""), Some(&certificate[..100]), None] {
            match broken {
                Some(bytes) => fs::write(&pem, bytes).unwrap(),
                None => fs::remove_file(&pem).unwrap(),
            }
            assert!(super::super::parse(&text(A), name).is_err(), "at the start there is nothing to keep");
            let (kept, warnings) = super::super::parse_over(&text(A), name, &config).unwrap_or_else(|report| panic!("{report}"));
            assert_eq!(kept, config);
            let said = warnings.render(false);
            assert!(said.contains("a.pem") && said.contains("stays in force"), "{said}");
            assert!(super::super::parse_over(&text("\"new.pem\""), name, &config).is_err(), "of what is new there is nothing to keep");
        }
    }
}
