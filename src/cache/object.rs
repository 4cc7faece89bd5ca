//! One kept answer: its head as it is sent again, its content in pieces, and the terms of its use.
//!
//! Immutable once it is kept, but for two marks: a purge may have made it stale, and somebody may be asking the origin about it.
//! A 304 makes a new one over the same content.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::index::{self, Index, Listed};
use super::key::Key;
use super::policy::Terms;
use super::runs::{Runs, Stretch};
use crate::failure::Failure;
use crate::message::{Body, Fields, Frame, Head, Length, Source};

/// What an entry takes beside the bytes that can be counted: its place in the store, counts of owners, marks.
const OVERHEAD_BYTES: usize = 512;
const OVERHEAD_PER_FIELD: usize = 24;
const OVERHEAD_PER_PIECE: usize = 96;
/// Content that came in smaller pieces is put together in pieces of this size: a thousand small ones would take more than they hold.
const PIECE_BYTES: usize = 64 << 10;

pub struct Object {
    pub key: Key,
    pub head: Head,
    pub terms: Terms,
    pub content: Content,
    /// What it can be purged by.
    pub tags: Box<[Box<[u8]>]>,
    /// When the origin was asked for it, or last whether it still holds: what it says is no older.
    pub asked: Instant,
    /// From the request to the last byte: what it costs to have it again.
    pub cost: Duration,
    weight: u32,
    /// How often it was used, as far as that is counted.
    uses: AtomicU32,
    /// `None`: it is not where a purge would look for it, for it was never kept.
    listed: Option<Listed>,
    expired: AtomicBool,
    refreshing: AtomicBool,
    /// While it is kept, its content counts as that.
    kept: Option<Held>,
}

impl Object {
    pub fn new(key: Key, head: Head, terms: Terms, content: Content, asked: Instant, cost: Duration) -> Object {
        let tags = tags(&head.fields);
        let of_tags: usize = tags.iter().map(|tag| tag.len() + 2 * size_of::<usize>() + index::BYTES_PER_TAG).sum();
        let of_head = head.fields.arena().len() + head.fields.len() * OVERHEAD_PER_FIELD;
        let whole = key.bytes().len() + of_head + of_tags + content.weight() + index::BYTES_PER_OBJECT + OVERHEAD_BYTES;
        let weight = u32::try_from(whole).unwrap_or(u32::MAX);
        let (expired, refreshing) = (AtomicBool::new(false), AtomicBool::new(false));
        Object {
            key,
            head,
            terms,
            content,
            tags,
            asked,
            cost,
            weight,
            uses: AtomicU32::new(0),
            listed: None,
            expired,
            refreshing,
            kept: None,
        }
    }

    /// It is about to be kept: from now on, and for as long as it is there, it is found by URL and tags, and its content counts as kept.
    pub fn keep(&mut self, index: &Arc<Index>, kept: &Gauge) {
        self.listed = Some(index.list(&self.key, &self.tags));
        self.kept = Some(kept.hold(self.content.here()));
    }

    /// Its own on the list.
    pub fn number(&self) -> Option<u64> {
        self.listed.as_ref().map(|listed| listed.number)
    }

    pub fn has_tag(&self, tag: &[u8]) -> bool {
        self.tags.iter().any(|other| **other == *tag)
    }

    pub fn used(&self, times: u32) {
        // A million less than can be counted: several may add at once, and nobody comes round to none.
        if self.uses() < u32::MAX - (1 << 20) {
            self.uses.fetch_add(times, Ordering::Relaxed);
        }
    }

    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Bytes of memory that it holds.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// A purge has made it stale.
    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    pub fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
    }

    /// Somebody is asking the origin about it.
    pub fn is_refreshing(&self) -> bool {
        self.refreshing.load(Ordering::Relaxed)
    }

    /// `true`: nobody else is asking the origin about it, and the caller does from now on.
    pub fn ask(&self) -> bool {
        !self.refreshing.swap(true, Ordering::Relaxed)
    }

    /// Nobody is asking any more, and nothing has come of it.
    pub fn give_up(&self) {
        self.refreshing.store(false, Ordering::Relaxed);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Some(listed) = self.listed.take() {
            listed.strike(&self.key, &self.tags);
        }
    }
}

/// `Surrogate-Key` divides by blanks, `Cache-Tag` by commas.
pub(super) fn tags(fields: &Fields) -> Box<[Box<[u8]>]> {
    let keys = fields.find("surrogate-key").flat_map(|value| value.split(u8::is_ascii_whitespace));
    let named = fields.find("cache-tag").flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    keys.chain(named).filter(|tag| !tag.is_empty()).map(Into::into).collect()
}

/// Counts the bytes of content that are in memory, whoever holds them: the store, a fill, or somebody who still reads what has gone from
/// both.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counted until nobody has them any more.
    pub fn count(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { _count: self.hold(bytes.len() as u64), bytes })
    }

    fn hold(&self, bytes: u64) -> Held {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held { gauge: self.clone(), bytes }
    }
}

/// Counts until it is dropped.
struct Held {
    gauge: Gauge,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Counted {
    _count: Held,
    bytes: Bytes,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Content in pieces, shared by all who read it. Where it has come in parts, those that are here lie behind each other.
#[derive(Debug, Clone)]
pub struct Content {
    pieces: Arc<[Bytes]>,
    /// Of the whole.
    length: u64,
    /// Which parts are here; `None`: the whole.
    runs: Option<Arc<Runs>>,
}

impl Content {
    /// `pieces` that `gauge` counts already.
    pub fn of(pieces: Vec<Bytes>, gauge: &Gauge) -> Content {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        // One small piece, too: it may be a part of a much larger buffer, which it would keep.
        let is_scattered = length < (pieces.len() * PIECE_BYTES / 2) as u64;
        let pieces = if is_scattered { gathered(&pieces).into_iter().map(|piece| gauge.count(piece)).collect() } else { pieces };
        Content { pieces: pieces.into(), length, runs: None }
    }

    /// As this part of a whole of that length. `None`: it is not as long as the part.
    pub fn as_part(self, part: Range<u64>, whole: u64) -> Option<Content> {
        let runs = Runs::of(part, whole);
        (runs.bytes() == self.length).then(|| Content { length: whole, ..self }.here_are(runs))
    }

    /// With a part of the same whole, which is put in between. `gauge` counts what is.
    pub fn with(&self, new: &Content, part: &Range<u64>, gauge: &Gauge) -> Content {
        let Some(runs) = &self.runs else { return self.clone() };
        let (runs, stretches) = runs.with(part);
        let mut pieces = Vec::new();
        for stretch in stretches {
            match stretch {
                Stretch::New => pieces.extend_from_slice(&new.pieces),
                // A few bytes of a piece would keep all of it in memory.
                Stretch::Old(row) => pieces.extend(self.cuts(row).map(|(piece, cut)| match cut.len() == piece.len() {
                    true => piece.clone(),
                    false => gauge.count(Bytes::copy_from_slice(&piece[cut])),
                })),
            }
        }
        Content { length: self.length, ..Content::of(pieces, gauge) }.here_are(runs)
    }

    fn here_are(self, runs: Runs) -> Content {
        Content { runs: (!runs.is_whole()).then(|| Arc::new(runs)), ..self }
    }

    /// Of the whole.
    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that are here.
    pub fn here(&self) -> u64 {
        self.runs.as_ref().map_or(self.length, |runs| runs.bytes())
    }

    pub fn is_whole(&self) -> bool {
        self.runs.is_none()
    }

    pub fn has(&self, range: &Range<u64>) -> bool {
        self.place(range).is_some()
    }

    /// Where these bytes are among those that are here; `None`: not all of them are.
    fn place(&self, range: &Range<u64>) -> Option<Range<u64>> {
        match &self.runs {
            None => Some(range.clone()),
            Some(runs) => runs.place(range),
        }
    }

    fn weight(&self) -> usize {
        self.here() as usize + self.pieces.len() * OVERHEAD_PER_PIECE + self.runs.as_ref().map_or(0, |runs| runs.weight())
    }

    /// The pieces that these bytes of what is here are of, and which of each.
    fn cuts(&self, row: Range<u64>) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let mut next = 0;
        self.pieces.iter().filter_map(move |piece| {
            let (at, end) = (next, next + piece.len() as u64);
            next = end;
            let (from, to) = (row.start.clamp(at, end), row.end.clamp(at, end));
            (from < to).then(|| (piece, (from - at) as usize..(to - at) as usize))
        })
    }

    /// Parts of it, each behind something of ours, and something behind them all. `None`: not all of them are here.
    pub fn parts(&self, parts: Vec<(Bytes, Range<u64>)>, end: Bytes) -> Option<Body> {
        let mut pieces = Vec::new();
        for (before, range) in parts {
            pieces.push(before);
            pieces.extend(self.cuts(self.place(&range)?).map(|(piece, cut)| piece.slice(cut)));
        }
        pieces.push(end);
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Content { pieces: pieces.into(), length, runs: None }.body(None)
    }

    /// All of it, or a part. `None`: not all of that is here.
    pub fn body(&self, range: Option<Range<u64>>) -> Option<Body> {
        let range = match range {
            Some(range) => Some(self.place(&range)?),
            None if self.is_whole() => None,
            None => return None,
        };
        Some(match (&*self.pieces, range) {
            ([], _) => Body::empty(),
            ([one], None) => Body::full(one.clone()),
            ([one], Some(range)) => Body::full(one.slice(range.start as usize..range.end as usize)),
            (_, range) => {
                let range = range.unwrap_or(0..self.length);
                let mut reader = Reader { pieces: self.pieces.clone(), next: 0, piece: Bytes::new(), left: range.end };
                reader.skip(range.start);
                Body::source(Box::new(reader))
            }
        })
    }
}

fn gathered(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut whole: Vec<Bytes> = Vec::new();
    let mut open = Vec::new();
    for piece in pieces {
        open.extend_from_slice(piece);
        if open.len() >= PIECE_BYTES {
            whole.push(Bytes::from(std::mem::take(&mut open).into_boxed_slice()));
        }
    }
    if !open.is_empty() {
        whole.push(Bytes::from(open.into_boxed_slice()));
    }
    whole
}

/// Reads content of several pieces.
struct Reader {
    pieces: Arc<[Bytes]>,
    /// The piece behind the one at hand.
    next: usize,
    piece: Bytes,
    /// Bytes to the end of what is read, those at hand included.
    left: u64,
}

impl Reader {
    /// From the beginning.
    fn skip(&mut self, mut bytes: u64) {
        self.left -= bytes;
        while let Some(piece) = self.pieces.get(self.next) {
            self.next += 1;
            if bytes < piece.len() as u64 {
                self.piece = piece.slice(bytes as usize..);
                break;
            }
            bytes -= piece.len() as u64;
        }
        self.cut();
    }

    fn cut(&mut self) {
        self.piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
    }

    fn fill(&mut self) -> bool {
        if self.piece.is_empty()
            && self.left > 0
            && let Some(piece) = self.pieces.get(self.next)
        {
            self.piece = piece.clone();
            self.next += 1;
            self.cut();
        }
        !self.piece.is_empty()
    }
}

impl Source for Reader {
    fn length(&self) -> Length {
        Length::Exact(self.left)
    }

    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        Poll::Ready(Ok(self.fill()))
    }

    fn data(&self) -> &[u8] {
        &self.piece
    }

    fn consume(&mut self, n: usize) {
        self.left -= n as u64;
        self.piece.advance(n);
    }

    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        if !self.fill() {
            return Poll::Ready(None);
        }
        self.left -= self.piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::Data(std::mem::take(&mut self.piece)))))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    fn read(mut body: Body) -> Vec<u8> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Ok(true)) = body.poll_fill(cx) {
            // In small steps: consuming may stop anywhere.
            let n = body.data().len().min(3);
            all.extend_from_slice(&body.data()[..n]);
            body.consume(n);
        }
        all
    }

    fn frames(mut body: Body) -> Vec<u8> {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Some(Ok(Frame::Data(bytes)))) = body.poll_frame(cx) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn tags_are_read_from_both_fields() {
        let mut fields = Fields::default();
        fields.append(b"Surrogate-Key", b"a b  c");
        fields.append(b"Cache-Tag", b"d e, f,");
        let tags = tags(&fields);
        assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), [&b"a"[..], b"b", b"c", b"d e", b"f"]);
    }

    #[test]
    fn what_is_in_memory_is_counted_until_nobody_reads_it() {
        for sizes in [&[10][..], &[10, 20, 30], &[PIECE_BYTES, PIECE_BYTES]] {
            let gauge = Gauge::default();
            let pieces = sizes.iter().map(|size| gauge.count(Bytes::from(vec![0; *size]))).collect();
            let content = Content::of(pieces, &gauge);
            assert_eq!(gauge.bytes(), sizes.iter().sum::<usize>() as u64);
            let body = content.body(None).expect("it is whole");
            drop(content);
            assert_eq!(gauge.bytes(), sizes.iter().sum::<usize>() as u64, "it is being read");
            drop(body);
            assert_eq!(gauge.bytes(), 0);
        }
    }

    #[test]
    fn scattered_content_is_gathered() {
        let content = Content::of(vec![Bytes::from_static(b"0123456789"); 20_000], &Gauge::default());
        assert_eq!((content.len(), content.pieces.len()), (200_000, 4));
        assert_eq!(read(content.body(None).expect("it is whole")).len(), 200_000);
    }

    proptest! {
        #[test]
        fn every_part_is_the_same_bytes(pieces in proptest::collection::vec(1usize..200_000, 0..5), from: proptest::sample::Index, to: proptest::sample::Index) {
            let whole: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|at| at as u8).collect();
            let mut rest = Bytes::from(whole.clone());
            let content = Content::of(pieces.iter().map(|len| rest.split_to(*len)).collect(), &Gauge::default());
            prop_assert_eq!(content.len(), whole.len() as u64);
            prop_assert!(frames(content.body(None).unwrap()) == whole);
            if !whole.is_empty() {
                let (a, b) = (from.index(whole.len()), to.index(whole.len()));
                let (a, b) = (a.min(b), a.max(b) + 1);
                let part = || content.body(Some(a as u64..b as u64)).unwrap();
                prop_assert_eq!(part().length(), Length::Exact((b - a) as u64));
                prop_assert!(read(part()) == whole[a..b]);
                prop_assert!(frames(part()) == whole[a..b]);
                let several = content.parts(vec![(Bytes::from_static(b"<"), a as u64..b as u64), (Bytes::from_static(b"|"), 0..1)], Bytes::from_static(b">")).unwrap();
                prop_assert!(frames(several) == [b"<", &whole[a..b], b"|", &whole[..1], b">"].concat());
            }
        }

        /// Parts come in any order, overlap, and leave gaps; whatever is answered is the origin's, and what is not here is not answered.
        #[test]
        fn parts_are_never_other_bytes_than_the_wholes(
            parts in proptest::collection::vec((0usize..400_000, 1usize..150_000, 1usize..40_000), 1..12), from in 0usize..450_000, long in 1usize..100_000,
        ) {
            const WHOLE: usize = 500_000;
            let byte = |at: usize| (at % 251) as u8;
            let gauge = Gauge::default();
            let mut kept: Option<Content> = None;
            let mut here = vec![false; WHOLE];
            for (at, long, step) in parts {
                let part = at..(at + long).min(WHOLE);
                let bytes: Vec<u8> = part.clone().map(byte).collect();
                let pieces = bytes.chunks(step).map(|piece| gauge.count(Bytes::copy_from_slice(piece))).collect();
                let range = part.start as u64..part.end as u64;
                let new = Content::of(pieces, &gauge).as_part(range.clone(), WHOLE as u64).expect("as long as it says");
                kept = Some(match kept { None => new, Some(kept) => kept.with(&new, &range, &gauge) });
                here[part].fill(true);
            }
            let kept = kept.unwrap();
            prop_assert_eq!((kept.len(), kept.here()), (WHOLE as u64, here.iter().filter(|here| **here).count() as u64));
            prop_assert_eq!(gauge.bytes(), kept.here(), "what is counted is what is held");
            prop_assert_eq!(kept.body(None).is_some(), here.iter().all(|here| *here));
            let wanted = from..(from + long).min(WHOLE);
            let range = wanted.start as u64..wanted.end as u64;
            match kept.body(Some(range.clone())) {
                Some(body) => prop_assert!(read(body) == wanted.clone().map(byte).collect::<Vec<u8>>()),
                None => prop_assert!(!here[wanted.clone()].iter().all(|here| *here)),
            }
            let several = kept.parts(vec![(Bytes::from_static(b"<"), range)], Bytes::from_static(b">"));
            prop_assert_eq!(several.is_some(), here[wanted].iter().all(|here| *here));
        }
    }
}
