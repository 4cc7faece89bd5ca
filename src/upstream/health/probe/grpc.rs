//! `grpc.health.v1.Health/Check`: one question, one answer, and a status in the trailers.
//!
//! Of Protocol Buffers it takes a field of text to write and a number to find, which is all that is here.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

use super::{BODY_BYTES, http2};
use crate::backend::Finding;

pub const PATH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
/// A message begins with whether it is compressed, and its length.
const PREFIX: usize = 5;

/// `HealthCheckRequest { service }`, as a message.
pub fn question(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8((1 << 3) | 2);
        put_number(&mut field, service.len());
        field.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(PREFIX + field.len());
    message.put_u8(0);
    message.put_u32(field.len() as u32);
    message.put(field);
    message.freeze()
}

/// Seven bits a byte, the lowest first.
fn put_number(to: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        to.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}

/// Reads an answer to its end, and judges it.
pub async fn judge(answer: http::Response<h2::RecvStream>) -> Result<Finding, Finding> {
    let (head, mut content) = answer.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(Finding::Status(head.status.as_u16()));
    }
    let mut message = Vec::new();
    while let Some(piece) = http2::next(&mut content).await {
        message.extend_from_slice(&piece?);
        if message.len() > BODY_BYTES {
            return Err(Finding::Malformed);
        }
    }
    let trailers = content.trailers().await.map_err(|error| http2::broken(&error))?;
    // An answer of one block of fields has its status there.
    match status(trailers.as_ref().unwrap_or(&head.headers)) {
        Some(0) => match serving(&message) {
            Some(SERVING) => Ok(Finding::Passed),
            Some(_) => Err(Finding::NotServing),
            None => Err(Finding::Malformed),
        },
        Some(status) => Err(Finding::GrpcStatus(status)),
        None => Err(Finding::Malformed),
    }
}

fn status(fields: &HeaderMap) -> Option<u8> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// `status` of the one `HealthCheckResponse` that this is; where it is left out, 0. `None`: it is no such thing.
fn serving(message: &[u8]) -> Option<u64> {
    let (prefix, mut fields) = message.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || fields.len() != length as usize {
        return None;
    }
    let mut status = 0;
    while !fields.is_empty() {
        let key = number(&mut fields)?;
        let skipped = match key & 7 {
            0 => {
                let value = number(&mut fields)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(number(&mut fields)?).ok()?,
            5 => 4,
            _ => return None,
        };
        fields = fields.get(skipped..)?;
    }
    Some(status)
}

fn number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_names_the_service() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("a.B")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = question(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_says_whether_it_serves() {
        for (message, expected) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 0], Some(0)),
            // Fields that somebody may add one day.
            (&[0, 0, 0, 0, 7, 0x12, 1, 9, 8, 1, 0x18, 7], Some(1)),
            (&[0, 0, 0, 0, 11, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 8, 3], Some(3)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 3, 8, 1], None),
            (&[0, 0, 0, 0, 1, 8], None),
            (&[0, 0, 0, 0, 2, 0x12, 9], None),
            (&[0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(serving(message), expected, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_is_more_than_it_can_bear(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let message = [&[0, 0, 0, 0, bytes.len() as u8][..], &bytes].concat();
            let _ = (serving(&message), serving(&bytes));
        }
    }
}
