//! Which fields may come behind the content.

use super::fields::Name;

/// Whether a field may stand in trailers (RFC 9110 6.5.1): not if it frames, routes, authenticates, or steers how the message is
/// handled, since whoever has acted on the head would be told otherwise afterwards. A name that this proxy acts on is one of those.
pub fn may_trail(known: Name, name: &[u8]) -> bool {
    const CONTENT: &[u8] = b"content-";
    const CONDITION: &[u8] = b"if-";
    const DIGESTS: [&[u8]; 2] = [b"content-digest", b"content-md5"];
    const OTHERS: [&[u8]; 8] =
        [b"range", b"pragma", b"expires", b"warning", b"retry-after", b"www-authenticate", b"x-real-ip", b"strict-transport-security"];
    let begins = |prefix: &[u8]| name.len() > prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix);
    let is_one_of = |names: &[&[u8]]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
    matches!(known, Name::Other | Name::Etag) && !begins(CONDITION) && (!begins(CONTENT) || is_one_of(&DIGESTS)) && !is_one_of(&OTHERS)
}
