//! What stands in a sticky session's cookie: a name for a backend that only we can have made.
//!
//! HMAC-SHA-256 (RFC 2104) over pool and address. The first 8 bytes of it are the name by which the backend is found; they say nothing
//! of the address to whoever has not the secret. The next 16 are the proof, compared in constant time: with one cookie in hand,
//! nobody can make that of another backend. The same secret makes the same tokens, so sessions survive a restart and hold at
//! every proxy that has it. A token is bound to no client: whoever copies a cookie comes to the same backend, which is no secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::address::Address;

const ID: usize = 8;
const PROOF: usize = 16;

#[derive(Clone, Copy)]
pub struct Token {
    id: [u8; ID],
    proof: [u8; PROOF],
}

impl Token {
    /// In hexadecimal.
    pub const TEXT: usize = 2 * (ID + PROOF);

    pub fn of(secret: &[u8], pool: &str, address: &Address) -> Token {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
        // The name of a pool has no NUL in it, so that no two pairs are one text.
        for part in ["tidegate sticky 1", pool, &address.to_string()] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        let whole = mac.finalize().into_bytes();
        let (mut id, mut proof) = ([0; ID], [0; PROOF]);
        id.copy_from_slice(&whole[..ID]);
        proof.copy_from_slice(&whole[ID..ID + PROOF]);
        Token { id, proof }
    }

    /// As a cookie has it; `None`: it can not be one of ours.
    pub fn read(text: &[u8]) -> Option<Token> {
        if text.len() != Token::TEXT {
            return None;
        }
        let mut bytes = [0; ID + PROOF];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let (mut id, mut proof) = ([0; ID], [0; PROOF]);
        id.copy_from_slice(&bytes[..ID]);
        proof.copy_from_slice(&bytes[ID..]);
        Some(Token { id, proof })
    }

    /// Not secret: what it is found by.
    pub fn id(&self) -> u64 {
        u64::from_be_bytes(self.id)
    }

    /// In constant time.
    pub fn proves(&self, other: &Token) -> bool {
        (self.id.ct_eq(&other.id) & self.proof.ct_eq(&other.proof)).into()
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.id.iter().chain(&self.proof) {
            to.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Lower case only: there is one text for each token.
fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn text(secret: &[u8], pool: &str, address: &str) -> String {
        let mut text = Vec::new();
        Token::of(secret, pool, &address.parse().unwrap()).write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_token_is_the_hmac_that_others_compute() {
        // printf 'tidegate sticky 1\0app\00010.0.0.1:80\0' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(text(SECRET, "app", "10.0.0.1:80"), "ed31fabc358820bb59f97779b1d3f29155723286e42143df");
    }

    #[test]
    fn every_part_of_it_counts() {
        let one = text(SECRET, "app", "10.0.0.1:80");
        for other in [
            text(b"another secret, as long as any is", "app", "10.0.0.1:80"),
            text(SECRET, "api", "10.0.0.1:80"),
            text(SECRET, "app", "10.0.0.1:81"),
            text(SECRET, "app", "10.0.0.2:80"),
        ] {
            let (one, other) = (Token::read(one.as_bytes()).unwrap(), Token::read(other.as_bytes()).unwrap());
            assert!(one.id() != other.id() && !one.proves(&other));
        }
    }

    proptest! {
        #[test]
        fn what_was_changed_anywhere_proves_nothing(at in 0usize..Token::TEXT, letter in b'0'..=b'f') {
            let ours = Token::of(SECRET, "app", &([10, 0, 0, 1], 80).into());
            let mut written = Vec::new();
            ours.write(&mut written);
            prop_assert!(Token::read(&written).is_some_and(|read| ours.proves(&read)));
            let changed = std::mem::replace(&mut written[at], letter) != letter;
            prop_assert_eq!(Token::read(&written).is_some_and(|read| ours.proves(&read)), !changed);
        }

        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Token::read(&text);
        }
    }
}
