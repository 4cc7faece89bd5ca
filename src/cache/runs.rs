//! Which bytes of a content are here, where it has come in parts.
//!
//! What is here lies in one row, in the order of the whole and without the gaps. This says where in that row a byte of the whole is, and
//! how the row grows by a part: one that closes a gap joins its neighbours, and what it has in common with them is taken from it, since
//! both are of one content. It is arithmetic, and holds no byte.

use std::ops::Range;

/// Runs with gaps between them. Where there are more, the shortest goes.
const RUNS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// In order; none is empty, and none touches another.
    runs: Vec<Range<u64>>,
    whole: u64,
}

/// Where a stretch of the grown row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// The row as it was, here.
    Old(Range<u64>),
    /// All of the part.
    New,
}

impl Runs {
    /// One part, which is not empty, of a whole of this length.
    pub fn of(part: Range<u64>, whole: u64) -> Runs {
        Runs { runs: vec![part], whole }
    }

    /// Bytes that are here.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(length).sum()
    }

    pub fn is_whole(&self) -> bool {
        self.bytes() == self.whole
    }

    pub fn weight(&self) -> usize {
        size_of::<Runs>() + self.runs.len() * size_of::<Range<u64>>()
    }

    /// Where in the row these bytes are; `None`: not all of them are here.
    pub fn place(&self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let mut before = 0;
        for run in &self.runs {
            if run.start <= wanted.start && wanted.end <= run.end {
                let at = before + (wanted.start - run.start);
                return Some(at..at + length(wanted));
            }
            before += length(run);
        }
        None
    }

    /// With one more part, and how its row is put together.
    pub fn with(&self, part: &Range<u64>) -> (Runs, Vec<Stretch>) {
        let mut stretches = vec![(part.clone(), Stretch::New)];
        let mut before = 0;
        for run in &self.runs {
            for left in [run.start..run.end.min(part.start), run.start.max(part.end)..run.end].into_iter().filter(|left| !left.is_empty()) {
                let at = before + (left.start - run.start);
                stretches.push((left.clone(), Stretch::Old(at..at + length(&left))));
            }
            before += length(run);
        }
        stretches.sort_by_key(|(stretch, _)| stretch.start);
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (stretch, _) in &stretches {
            match runs.last_mut().filter(|last| last.end == stretch.start) {
                Some(last) => last.end = stretch.end,
                None => runs.push(stretch.clone()),
            }
        }
        // A part makes one more at most.
        if runs.len() > RUNS_MAX
            && let Some(shortest) = (0..runs.len()).min_by_key(|at| length(&runs[*at]))
        {
            let gone = runs.remove(shortest);
            stretches.retain(|(stretch, _)| !gone.contains(&stretch.start));
        }
        (Runs { runs, whole: self.whole }, stretches.into_iter().map(|(_, from)| from).collect())
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(parts: &[(u64, u64)]) -> Runs {
        let mut parts = parts.iter().map(|(start, end)| *start..*end);
        let first = Runs::of(parts.next().expect("one at least"), 20);
        parts.fold(first, |runs, part| runs.with(&part).0)
    }

    #[test]
    fn parts_that_touch_are_one() {
        for (parts, expected) in [
            (&[(0, 5), (5, 10)][..], &[(0, 10)][..]),
            (&[(5, 10), (0, 5)], &[(0, 10)]),
            (&[(0, 5), (3, 10)], &[(0, 10)]),
            (&[(0, 10), (3, 5)], &[(0, 10)]),
            (&[(3, 5), (0, 10)], &[(0, 10)]),
            (&[(0, 2), (4, 6), (2, 4)], &[(0, 6)]),
            (&[(0, 2), (4, 6), (8, 9), (1, 9)], &[(0, 9)]),
            (&[(4, 6), (0, 2)], &[(0, 2), (4, 6)]),
        ] {
            let here: Vec<_> = runs(parts).runs.iter().map(|run| (run.start, run.end)).collect();
            assert_eq!(here, expected, "{parts:?}");
        }
        assert!(runs(&[(0, 7), (7, 20)]).is_whole() && !runs(&[(0, 19)]).is_whole());
    }

    #[test]
    fn what_is_asked_for_lies_in_one_run_or_is_not_here() {
        let runs = runs(&[(2, 5), (10, 14)]);
        for (wanted, expected) in [
            (2..5, Some(0..3)),
            (3..4, Some(1..2)),
            (10..14, Some(3..7)),
            (13..14, Some(6..7)),
            (1..3, None),
            (4..6, None),
            (4..11, None),
            (5..10, None),
            (13..15, None),
        ] {
            assert_eq!(runs.place(&wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn of_too_many_the_shortest_goes() {
        let mut many = Runs::of(0..1, 10_000);
        for at in 1..=RUNS_MAX as u64 {
            many = many.with(&(at * 100..at * 100 + 10)).0;
        }
        assert_eq!((many.runs.len(), many.place(&(0..1)), many.bytes()), (RUNS_MAX, None, RUNS_MAX as u64 * 10));
        assert_eq!(many.place(&(100..110)), Some(0..10));
    }

    proptest! {
        /// In whatever order parts come, and however they overlap: what is said to be here is here, and is the whole's own.
        #[test]
        fn what_is_said_to_be_here_is(parts in proptest::collection::vec((0u64..300, 1u64..60), 1..80), wanted in 0u64..300, long in 1u64..40) {
            const WHOLE: u64 = 360;
            let byte = |at: u64| (at * 7 % 251) as u8;
            let of = |part: &Range<u64>| part.clone().map(byte).collect::<Vec<u8>>();
            let mut parts = parts.iter().map(|(at, len)| *at..at + len);
            let first = parts.next().expect("one at least");
            let (mut row, mut runs) = (of(&first), Runs::of(first, WHOLE));
            for part in parts {
                let (grown, stretches) = runs.with(&part);
                let mut next = Vec::new();
                for stretch in stretches {
                    match stretch {
                        Stretch::Old(at) => next.extend_from_slice(&row[at.start as usize..at.end as usize]),
                        Stretch::New => next.extend(of(&part)),
                    }
                }
                prop_assert!(grown.runs.len() <= RUNS_MAX && grown.runs.is_sorted_by(|one, next| one.end < next.start));
                prop_assert_eq!(grown.bytes(), next.len() as u64);
                (row, runs) = (next, grown);
                let wanted = wanted..wanted + long;
                if let Some(at) = runs.place(&wanted) {
                    prop_assert_eq!(&row[at.start as usize..at.end as usize], &of(&wanted)[..]);
                }
            }
        }
    }
}
