//! The handshake of a WebSocket (RFC 6455 4), as far as a proxy makes one itself: a client that opens a WebSocket over HTTP/2 sends no
//! key (RFC 8441 5), and a backend that speaks HTTP/1.1 wants one and has to prove that it has understood.

use sha1::{Digest, Sha1};

/// What a request to open one carries, and what it is answered with. Neither exists in HTTP/2.
pub const KEY: &str = "sec-websocket-key";
pub const ACCEPT: &str = "sec-websocket-accept";

/// Known to nobody who does not know what a WebSocket is.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key, new for each handshake.
pub fn key() -> String {
    // Not a secret: it is to differ, so that no cache and no chance answers in the backend's place.
    base64(&fastrand::u128(..).to_be_bytes())
}

/// What a backend that has understood says to this key.
pub fn accept(key: &[u8]) -> String {
    base64(&Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_document() {
        // RFC 6455 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes_and_never_the_same() {
        let (one, other) = (key(), key());
        assert_eq!((one.len(), &one[22..]), (24, "=="));
        assert_ne!(one, other);
    }

    #[test]
    fn base64_is_that_of_the_document() {
        // RFC 4648 10.
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }
}
