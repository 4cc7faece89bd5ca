//! TLS of listeners and pools: certificates are read with the text that names them, so that a configuration in force has whole ones.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::super::certificates::{self, Credential, Found};
use super::super::file::{Section, Written};
use super::super::model::{AuthoritiesFile, BackendAddress, BackendSpec, Certificate, DnsName, ListenTls, PairFiles, PoolTls};
use super::super::report::{Problem, Span};
use super::super::value::Mistake;
use crate::address::Address;
use crate::tls::{Authorities, Oldest, Pair, System};

/// `place`: of the listener.
pub(super) fn listener(section: &Section<'_>, place: &str) -> Option<ListenTls> {
    let long = |entry: Section<'_>| {
        let place = entry.span.clone();
        if entry.key_span("certificate").is_none() {
            entry.text("key");
            let problem = Problem::error(place, "an entry has no `certificate`");
            entry.note(problem.help("write `{ certificate = \"site.pem\", key = \"site.key\" }`"));
            return None;
        }
        certificate(&entry, "certificate", "key")
    };
    let short = |file: Written<String>| pair(section, ("certificates", &file), None);
    let certificates = section.entries("certificates", &format!("{place}.tls"), short, long);
    let absent = match section.key_span("certificates") {
        None => section.is_present().then(|| section.span.clone()),
        Some(span) => section.is_empty_list("certificates").then_some(span),
    };
    if let Some(span) = absent {
        let problem = Problem::error(span, "`tls` has no certificates");
        section.note(problem.help("write `certificates = [{ certificate = \"site.pem\", key = \"site.key\" }]`"));
    }
    let client_ca = authorities(section, "client_ca");
    let min_version = section.word("min_version", |word| match word {
        "1.2" => Some(Oldest::Tls12),
        "1.3" => Some(Oldest::Tls13),
        _ => None,
    });
    let hsts = section.duration_override("hsts").flatten();
    section.is_present().then_some(ListenTls { certificates, client_ca, min_version, hsts })
}

pub(super) fn redirect(section: &Section<'_>) -> Option<u16> {
    let port = section.number_or_word("redirect_https")?;
    if let Some(tls) = section.key_span("tls") {
        let problem = Problem::error(port.span.clone(), "a listener with `tls` has nobody to send to https").also(tls, "it has TLS itself");
        section.note(problem.help("put `redirect_https` on the plain listener, the one at port 80"));
    }
    // The table of keys bounds it.
    Some(port.value as u16)
}

pub(super) fn pool(section: &Section<'_>, backends: &[BackendSpec]) -> Option<PoolTls> {
    let server_name = section.parsed("server_name", |name| {
        ServerName::try_from(name.to_owned()).map_err(|_| {
            Mistake::new(format!("`{}` is not the name of a server", name.escape_debug())).help("write a DNS name or an IP address")
        })
    });
    let ca = authorities(section, "ca");
    let certificate = match (section.key_span("certificate"), section.key_span("key")) {
        (Some(_), _) => certificate(section, "certificate", "key"),
        (None, Some(key)) => {
            section.note(Problem::error(key, "a `key` without a `certificate`").help("name the file with its certificate too"));
            None
        }
        (None, None) => None,
    };
    if !section.is_present() {
        return None;
    }
    let server_name = server_name.map(|name| name.value).or_else(|| name_of(section, backends));
    let (authorities, ca) = match ca {
        Some(ca) => (ca.authorities, Some(ca.file)),
        None if section.key_span("ca").is_some() => return None,
        None => (of_system(section)?, None),
    };
    Some(PoolTls { server_name, authorities, ca, certificate })
}

fn of_system(section: &Section<'_>) -> Option<Authorities> {
    let System { authorities, troubles } = Authorities::of_system();
    if authorities.is_none() {
        let why = if troubles.is_empty() { String::new() } else { format!(": {}", troubles.join("; ")) };
        let problem = Problem::error(section.span.clone(), format!("the system has no certificates of authorities{why}"));
        section.note(problem.help("install them (the package is mostly called ca-certificates), or name a file: `ca = \"ca.pem\"`"));
    } else if !troubles.is_empty() {
        let message = format!("not all of the system's certificates of authorities can be read: {}", troubles.join("; "));
        section.note(Problem::warning(section.span.clone(), message).help("`ca` names a file instead"));
    }
    authorities.clone()
}

/// The name of the backends where they are found by one. Several names are not guessed among.
fn name_of(section: &Section<'_>, backends: &[BackendSpec]) -> Option<ServerName<'static>> {
    let mut names: Vec<&str> = (backends.iter())
        .filter_map(|backend| match &backend.address {
            BackendAddress::Dns(DnsName::Host { name, .. } | DnsName::Service(name)) => Some(name.trim_end_matches('.')),
            _ => None,
        })
        .collect();
    let fixed = names.len() < backends.len();
    let unix = backends.iter().any(|backend| matches!(backend.address, BackendAddress::Fixed(Address::Unix(_))));
    names.dedup();
    let usable = match names.as_slice() {
        [] if !unix => return None,
        [name] if !fixed => ServerName::try_from((*name).to_owned()).ok(),
        _ => None,
    };
    if usable.is_none() {
        let problem =
            Problem::error(section.span.clone(), "which name the backends' certificates are for can not be told from the backends");
        section.note(problem.help("write it: `tls = { server_name = \"app.internal\" }`"));
    }
    usable
}

/// The pair behind two keys of one table; without the second, both are in the file of the first.
fn certificate(section: &Section<'_>, certificate: &str, key: &str) -> Option<Certificate> {
    let (of_certificate, of_key) = (section.text(certificate), section.text(key));
    let file = of_certificate?;
    if section.key_span(key).is_none() {
        return pair(section, (certificate, &file), None);
    }
    pair(section, (certificate, &file), Some((key, &of_key?)))
}

/// A key, and the file that it names.
type Named<'a> = (&'a str, &'a Written<String>);

fn pair(section: &Section<'_>, certificate: Named<'_>, key: Option<Named<'_>>) -> Option<Certificate> {
    let ((_, certificate_file), (_, key_file)) = (certificate, key.unwrap_or(certificate));
    let files = PairFiles { certificate: PathBuf::from(&certificate_file.value), key: PathBuf::from(&key_file.value) };
    let kept = || match in_force(section, &Credential::Pair(files.clone()))? {
        Found::Pair(pair) => Some(pair),
        Found::Authorities(_) => None,
    };
    let pair = whole(section, read_pair(section, certificate, key), kept)?;
    Some(Certificate { files, pair })
}

/// All that is wrong with the two files, where it is named.
fn read_pair(section: &Section<'_>, certificate: Named<'_>, key: Option<Named<'_>>) -> Result<Pair, Mistakes> {
    let read = |(name, file): Named<'_>| section.try_read(&file.value, name).map_err(|mistake| (file.span.clone(), mistake));
    let of_key = key.map(read).transpose();
    let (certificate_bytes, key_bytes) = match (read(certificate), of_key) {
        (Ok(certificate), Ok(key)) => (certificate, key),
        (certificate, key) => return Err(certificate.err().into_iter().chain(key.err()).collect()),
    };
    Pair::parse(&certificate_bytes, key_bytes.as_ref().unwrap_or(&certificate_bytes)).map_err(|refusal| {
        let (_, file) = if refusal.is_about_the_key() { key.unwrap_or(certificate) } else { certificate };
        vec![(file.span.clone(), Mistake::new(refusal.in_file(&file.value)))]
    })
}

fn authorities(section: &Section<'_>, name: &str) -> Option<AuthoritiesFile> {
    let written = section.text(name)?;
    let read = || {
        let bytes = section.try_read(&written.value, name)?;
        Authorities::parse(&bytes).map_err(|refusal| Mistake::new(refusal.in_file(&written.value)))
    };
    let file = PathBuf::from(&written.value);
    let kept = || match in_force(section, &Credential::Authorities(file.clone()))? {
        Found::Authorities(authorities) => Some(authorities),
        Found::Pair(_) => None,
    };
    let authorities = whole(section, read().map_err(|mistake| vec![(written.span.clone(), mistake)]), kept)?;
    Some(AuthoritiesFile { file, authorities })
}

/// What is in force of these files, under the same names.
fn in_force(section: &Section<'_>, credential: &Credential) -> Option<Found> {
    let named = certificates::named(section.in_force()?);
    named.into_iter().find(|(other, ..)| other == credential).map(|(_, _, found)| found)
}

type Mistakes = Vec<(Span, Mistake)>;

/// What was read; or, with a warning, what is in force. Without either the mistakes are errors.
fn whole<T>(section: &Section<'_>, read: Result<T, Mistakes>, kept: impl FnOnce() -> Option<T>) -> Option<T> {
    let mistakes = match read {
        Ok(read) => return Some(read),
        Err(mistakes) => mistakes,
    };
    let kept = kept();
    for (span, mistake) in mistakes {
        match kept {
            Some(_) => section.note(Problem::warning(span, mistake.message).help("what was read there last stays in force")),
            None => drop(section.check::<()>(&span, Err(mistake))),
        }
    }
    kept
}
