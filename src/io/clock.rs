//! The wall clock of a thread, read once a second: for `Date`, and for nothing that measures.
//!
//! Durations come from `Instant`; a wall clock that jumps changes what we write, never what we wait for.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a date as RFC 9110 5.6.7 wants it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_BYTES: usize = 29;

thread_local! {
    static NOW: Cell<(u64, [u8; DATE_BYTES])> = const { Cell::new((0, [0; DATE_BYTES])) };
}

/// Looks at the wall clock. Called by the thread's tick.
pub fn refresh() {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if NOW.get().0 != second {
        let mut text = [0; DATE_BYTES];
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        // The year 10000 would be a byte too long; a clock that says so is wrong, and so would be the date.
        let bytes = date.as_bytes();
        let len = bytes.len().min(DATE_BYTES);
        text[..len].copy_from_slice(&bytes[..len]);
        NOW.set((second, text));
    }
}

/// The value of `Date` at this second.
pub fn date() -> [u8; DATE_BYTES] {
    if NOW.get().0 == 0 {
        refresh();
    }
    NOW.get().1
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_date_is_a_date() {
        let date = super::date();
        let text = std::str::from_utf8(&date).expect("is text");
        assert!(httpdate::parse_http_date(text).is_ok(), "{text}");
    }
}
