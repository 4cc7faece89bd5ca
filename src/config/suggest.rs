//! "Did you mean": of the words that would have been right, the one that a slip of the finger away was written.

/// The closest of `known`, where one is close enough to be what was meant.
pub(super) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: more, and the suggestion would be a guess that sends the reader the wrong way.
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    let candidates = known.into_iter().map(|word| (distance(written, word), word));
    candidates.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// `there are a, b`, for a help.
pub(super) fn there_are(known: &[String]) -> String {
    match known {
        [only] => format!("there is {only}"),
        known => format!("there are {}", known.join(", ")),
    }
}

/// Optimal string alignment: letters left out, put in, exchanged, or swapped with their neighbour. Case and `-` for `_` count nothing.
fn distance(a: &str, b: &str) -> usize {
    let letters =
        |text: &str| -> Vec<char> { text.chars().map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect() };
    let (a, b) = (letters(a), letters(b));
    // Words of a length so different are not slips; and the table below stays small whatever was written.
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut rows: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        rows.push(i);
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let (above, left, diagonal) = (rows[(i - 1) * width + j], rows[i * width + j - 1], rows[(i - 1) * width + j - 1]);
            let mut least = (above + 1).min(left + 1).min(diagonal + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows.push(least);
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["least_connections", "round_robin", "p2c", "pool", "timeout"];
        for (written, expected) in [
            ("least_conections", Some("least_connections")),
            ("least-connections", Some("least_connections")),
            ("Round_Robin", Some("round_robin")),
            ("timeuot", Some("timeout")),
            ("timeouts", Some("timeout")),
            ("p2", Some("p2c")),
            ("pools", Some("pool")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(closest(written, known), expected, "{written}");
        }
    }

    #[test]
    fn distance_counts_each_kind_of_slip_once() {
        for (a, b, expected) in
            [("abcd", "abcd", 0), ("abcd", "abd", 1), ("abd", "abcd", 1), ("abcd", "abxd", 1), ("abcd", "abdc", 1), ("", "ab", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
