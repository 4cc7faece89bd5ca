//! What a rule asks of a request beyond host and path.

use super::Rule;
use crate::message::path::decoded;
use crate::message::{Head, Name};

impl<T> Rule<T> {
    /// How many predicates there are; a list of methods is one.
    pub fn predicates(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.queries.len() + self.cookies.len()
    }

    /// Whether all of them hold. Where a name is repeated in the request, one that holds is enough.
    pub(super) fn holds(&self, head: &Head) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|method| method.as_bytes() == head.method_bytes()))
            && self.headers.iter().all(|(name, value)| has_header(head, name, value))
            && self.queries.iter().all(|(name, value)| has_query(head, name, value))
            && self.cookies.iter().all(|(name, value)| has_cookie(head, name, value))
    }
}

fn has_header(head: &Head, name: &str, value: &str) -> bool {
    head.fields.find(name).any(|found| found.trim_ascii() == value.as_bytes())
}

/// Compares percent-decoded; `+` is a plus, and `a` without `=` is `a` with the empty value.
fn has_query(head: &Head, name: &str, value: &str) -> bool {
    head.query().is_some_and(|query| {
        query.split(|byte| *byte == b'&').any(|pair| {
            let (found, content) = split_pair(pair).unwrap_or((pair, b""));
            decoded(found).eq(name.bytes()) && decoded(content).eq(value.bytes())
        })
    })
}

/// Compares as sent: servers differ in what they decode or unquote (RFC 6265 4.1.1).
fn has_cookie(head: &Head, name: &str, value: &str) -> bool {
    head.fields
        .get_all(Name::Cookie)
        .flat_map(|cookies| cookies.split(|byte| *byte == b';'))
        .any(|cookie| split_pair(cookie.trim_ascii()) == Some((name.as_bytes(), value.as_bytes())))
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    pair.iter().position(|byte| *byte == b'=').map(|at| (&pair[..at], &pair[at + 1..]))
}
