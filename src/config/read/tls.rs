//! TLS of listeners and pools: certificates are read with the text that names them, so that a configuration in force has whole ones.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

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
    let short = |file: Written<String>| {
        let bytes = section.read(&file, "certificates")?;
        pair(section, (&file.value, &bytes, &file.span), None)
    };
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
    let bytes = section.read(&file, certificate);
    if section.key_span(key).is_none() {
        return pair(section, (&file.value, &bytes?, &file.span), None);
    }
    let key_file = of_key?;
    let key_bytes = section.read(&key_file, key)?;
    pair(section, (&file.value, &bytes?, &file.span), Some((&key_file.value, &key_bytes, &key_file.span)))
}

/// A file: its path as written, what is in it, and where it is named.
type Read<'a> = (&'a str, &'a [u8], &'a Span);

fn pair(section: &Section<'_>, certificate: Read<'_>, key: Option<Read<'_>>) -> Option<Certificate> {
    let key = key.unwrap_or(certificate);
    let parsed = Pair::parse(certificate.1, key.1).map_err(|refusal| {
        let (file, place) = if refusal.is_about_the_key() { (key.0, key.2) } else { (certificate.0, certificate.2) };
        (Mistake::new(refusal.in_file(file)), place)
    });
    let pair = match parsed {
        Ok(pair) => pair,
        Err((mistake, place)) => return section.check(place, Err(mistake)),
    };
    Some(Certificate { files: PairFiles { certificate: PathBuf::from(certificate.0), key: PathBuf::from(key.0) }, pair })
}

fn authorities(section: &Section<'_>, name: &str) -> Option<AuthoritiesFile> {
    let file = section.text(name)?;
    let bytes = section.read(&file, name)?;
    let parsed = Authorities::parse(&bytes).map_err(|refusal| Mistake::new(refusal.in_file(&file.value)));
    Some(AuthoritiesFile { authorities: section.check(&file.span, parsed)?, file: PathBuf::from(file.value) })
}
