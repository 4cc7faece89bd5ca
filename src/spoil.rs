//! What the properties of every parser have in common: bytes that were right, and are no more.

use proptest::sample::Index;

/// One change: where, to what, and of which kind (0: replaced, 1: inserted, else: taken out).
pub type Edit = (Index, u8, u8);

pub fn spoil(bytes: &mut Vec<u8>, edits: impl IntoIterator<Item = Edit>) {
    for (place, byte, kind) in edits {
        let at = place.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
}
