//! Who a certificate is for, as one line of text that can not be mistaken: RFC 4514.
//!
//! The line goes into a header field, and whoever reads it decides by it who may do what. So whatever could end a part and begin
//! another (a comma in a name) is escaped, and so is every byte that is not plain ASCII.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// The subject of a certificate, the most special part first: `CN=worker-7,O=Example`. `None`: it cannot be read.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut line = String::new();
    let parts: Vec<_> = certificate.subject().iter_rdn().collect();
    for (at, part) in parts.into_iter().rev().enumerate() {
        for (also, attribute) in part.iter().enumerate() {
            match (at, also) {
                (0, 0) => {}
                (_, 0) => line.push(','),
                _ => line.push('+'),
            }
            write_attribute(attribute, &mut line);
        }
    }
    Some(line)
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, line: &mut String) {
    let kind = attribute.attr_type();
    match oid2abbrev(kind, oid_registry()) {
        Ok(short) => line.push_str(short),
        Err(_) => line.push_str(&kind.to_id_string()),
    }
    line.push('=');
    match attribute.as_str() {
        Ok(value) => write_value(value.as_bytes(), line),
        // No text: its bytes, behind the sign that says so.
        Err(_) => {
            line.push('#');
            attribute.attr_value().data.iter().for_each(|byte| write!(line, "{byte:02x}").expect("a string takes all"));
        }
    }
}

fn write_value(value: &[u8], line: &mut String) {
    for (at, byte) in value.iter().enumerate() {
        let (first, last) = (at == 0, at + 1 == value.len());
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => line.extend(['\\', char::from(*byte)]),
            b'#' if first => line.push_str("\\#"),
            b' ' if first || last => line.push_str("\\ "),
            b' '..=b'~' => line.push(char::from(*byte)),
            other => write!(line, "\\{other:02X}").expect("a string takes all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn subject_of(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        parts.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        let key = KeyPair::generate().expect("a key");
        subject(params.self_signed(&key).expect("a certificate").der()).expect("a subject")
    }

    #[test]
    fn parts_stand_from_the_most_special_to_the_least() {
        let parts = [(DnType::CountryName, "DE"), (DnType::OrganizationName, "Example"), (DnType::CommonName, "worker-7")];
        assert_eq!(subject_of(&parts), "CN=worker-7,O=Example,C=DE");
        assert_eq!(subject_of(&[]), "");
    }

    #[test]
    fn a_value_can_not_pass_for_another_part_nor_leave_its_line() {
        for (value, expected) in [
            ("a,O=admins", "CN=a\\,O\\=admins"),
            ("a+b", "CN=a\\+b"),
            (" a ", "CN=\\ a\\ "),
            ("#a\\", "CN=\\#a\\\\"),
            ("a\r\nX-Admin: yes", "CN=a\\0D\\0AX-Admin: yes"),
            ("J\u{fc}rgen", "CN=J\\C3\\BCrgen"),
        ] {
            assert_eq!(subject_of(&[(DnType::CommonName, value)]), expected, "{value:?}");
        }
    }
}
