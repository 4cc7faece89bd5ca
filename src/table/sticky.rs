//! A pool's sticky sessions: which cookie stands for which backend.
//!
//! The tokens are made with the table, so that a request costs a search and a comparison, and no cryptography.

use super::token::Token;
use crate::balance::Set;
use crate::config::model;

pub struct Sticky {
    cookie: String,
    /// What follows the value: for all answers, and for those that go over TLS.
    attributes: [String; 2],
    /// In the order of the pool's set.
    tokens: Box<[Token]>,
    /// Positions in `tokens`, by id.
    by_id: Box<[(u64, u32)]>,
}

impl Sticky {
    pub fn of(spec: &model::Sticky, secret: &[u8], pool: &str, set: &Set) -> Sticky {
        let tokens: Box<[Token]> = set.members.iter().map(|member| Token::of(secret, pool, &member.backend.address)).collect();
        let mut by_id: Box<[(u64, u32)]> = tokens.iter().zip(0..).map(|(token, at)| (token.id(), at)).collect();
        by_id.sort_unstable();
        // Rounded up: an age of 0 would end the session at once.
        let age = spec.max_age.map(|age| format!("; Max-Age={}", age.as_millis().div_ceil(1000))).unwrap_or_default();
        let plain = format!("; Path=/{age}; HttpOnly; SameSite=Lax");
        let secure = format!("{plain}; Secure");
        Sticky { cookie: spec.cookie.clone(), attributes: [plain, secure], tokens, by_id }
    }

    /// The cookie's name.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The position of the backend that a cookie's value stands for; `None`: it is forged, of another secret, or the backend is gone.
    pub fn find(&self, value: &[u8]) -> Option<usize> {
        let token = Token::read(value)?;
        let at = self.by_id.binary_search_by_key(&token.id(), |(id, _)| *id).ok()?;
        let at = self.by_id[at].1 as usize;
        self.tokens[at].proves(&token).then_some(at)
    }

    /// The field value that makes a session of the backend at this position. `secure`: the answer goes over TLS.
    pub fn set_cookie(&self, at: usize, secure: bool) -> Vec<u8> {
        let attributes = &self.attributes[usize::from(secure)];
        let mut value = Vec::with_capacity(self.cookie.len() + 1 + Token::TEXT + attributes.len());
        value.extend_from_slice(self.cookie.as_bytes());
        value.push(b'=');
        self.tokens[at].write(&mut value);
        value.extend_from_slice(attributes.as_bytes());
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backend::Backend;
    use crate::balance::Member;

    fn sticky(secret: &[u8], addresses: std::ops::Range<u16>, max_age: Option<Duration>) -> Sticky {
        let member = |port| Member::plain(Arc::new(Backend::new(([10, 0, 0, 1], port).into())));
        let spec = model::Sticky { cookie: "session".into(), secret: None, max_age };
        Sticky::of(&spec, secret, "app", &Set::new(addresses.map(member)))
    }

    fn value(sticky: &Sticky, at: usize) -> Vec<u8> {
        let whole = sticky.set_cookie(at, false);
        whole["session=".len()..].split(|byte| *byte == b';').next().unwrap().to_vec()
    }

    #[test]
    fn every_cookie_leads_back_to_its_backend_and_no_other_does() {
        let (ours, theirs) = (sticky(b"ours", 0..500, None), sticky(b"theirs", 0..500, None));
        for at in 0..500 {
            assert_eq!(ours.find(&value(&ours, at)), Some(at));
            assert_eq!(ours.find(&value(&theirs, at)), None);
        }
        let fewer = sticky(b"ours", 100..500, None);
        assert_eq!((fewer.find(&value(&ours, 7)), fewer.find(&value(&ours, 107))), (None, Some(7)));
        // The name of one and the proof of another.
        let mixed = [&value(&ours, 1)[..16], &value(&ours, 2)[16..]].concat();
        assert_eq!(ours.find(&mixed), None);
        assert_eq!(ours.find(b""), None);
    }

    #[test]
    fn the_field_has_its_attributes() {
        let said = |sticky: &Sticky, secure| {
            let field = String::from_utf8(sticky.set_cookie(0, secure)).unwrap();
            field.split_once(';').unwrap().1.to_owned()
        };
        let session = sticky(b"", 0..1, None);
        assert_eq!(said(&session, false), " Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(said(&session, true), " Path=/; HttpOnly; SameSite=Lax; Secure");
        let aged = sticky(b"", 0..1, Some(Duration::from_millis(1500)));
        assert_eq!(said(&aged, false), " Path=/; Max-Age=2; HttpOnly; SameSite=Lax");
    }
}
