use std::cell::Cell;
use std::task::Waker;

use proptest::prelude::*;

use super::*;

/// Content that comes in these pieces; between two of them there is nothing for one poll.
struct Pieces {
    pieces: std::vec::IntoIter<Vec<u8>>,
    now: Vec<u8>,
    waited: bool,
    length: Length,
    fails: bool,
    dropped: Rc<Cell<bool>>,
}

fn pieces(pieces: Vec<Vec<u8>>, known: bool) -> (Body, Rc<Cell<bool>>) {
    let length = if known { Length::Exact(pieces.iter().map(|piece| piece.len() as u64).sum()) } else { Length::Unknown };
    let dropped = Rc::new(Cell::new(false));
    let body = Pieces { pieces: pieces.into_iter(), now: Vec::new(), waited: false, length, fails: false, dropped: dropped.clone() };
    (Body::source(Box::new(body)), dropped)
}

impl Source for Pieces {
    fn length(&self) -> Length {
        self.length
    }

    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        if !self.now.is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.waited = !self.waited;
        if self.waited {
            return Poll::Pending;
        }
        match self.pieces.next() {
            Some(piece) => {
                self.now = piece;
                Poll::Ready(Ok(!self.now.is_empty()))
            }
            None if self.fails => Poll::Ready(Err(Failure::ClientGone)),
            None => Poll::Ready(Ok(false)),
        }
    }

    fn data(&self) -> &[u8] {
        &self.now
    }

    fn consume(&mut self, n: usize) {
        self.now.drain(..n);
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        let mut fields = Fields::default();
        fields.append(b"X-Sum", b"1");
        Some(fields)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

/// Reads until the end, or until there are `most` bytes.
fn read(body: &mut Body, most: usize) -> Vec<u8> {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    while seen.len() < most {
        match body.poll_fill(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(true)) => {
                let n = body.data().len().min(most - seen.len());
                assert!(n > 0, "a body that is ready has data");
                seen.extend_from_slice(&body.data()[..n]);
                body.consume(n);
            }
            Poll::Ready(Ok(false)) => break,
            Poll::Ready(Err(failure)) => panic!("{failure}"),
        }
    }
    seen
}

#[test]
fn sixty_four_kibibytes_can_be_sent_again_and_one_byte_more_can_not() {
    for (size, again) in [(KEPT_BYTES_MAX, true), (KEPT_BYTES_MAX + 1, false)] {
        for known in [true, false] {
            let whole: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (body, _) = pieces(whole.chunks(10_000).map(<[u8]>::to_vec).collect(), known);
            let mut content = Content::new(body, true);
            assert!(content.is_whole());
            let mut first = content.lend().expect("it is all there");
            assert_eq!(first.length(), if known { Length::Exact(size as u64) } else { Length::Unknown });
            assert!(read(&mut first, usize::MAX) == whole, "{size}: the first gets all of it whatever its size");
            content.put_back(None);
            assert_eq!(content.is_whole(), again, "{size} bytes, known: {known}");
            if again {
                let mut second = content.lend().expect("it is all there");
                assert!(read(&mut second, usize::MAX) == whole, "{size}: the second");
                assert_eq!(second.take_trailers().expect("has trailers").find("x-sum").next(), Some(&b"1"[..]));
            }
        }
    }
}

#[test]
fn a_request_that_must_not_be_repeated_is_not_kept() {
    let (body, _) = pieces(vec![b"hello".to_vec()], true);
    let mut content = Content::new(body, false);
    assert!(matches!(content, Content::Once(_)) && content.is_whole());
    // A connect failed: it was not even asked for. A send that used nothing up gives it back.
    let body = content.lend();
    content.put_back(body);
    assert!(content.is_whole());
    let body = content.lend();
    drop(body);
    assert!(!content.is_whole());
    // Where there is nothing there is nothing to use up.
    assert!(matches!(Content::new(Body::empty(), true), Content::Once(Some(_))));
}

#[test]
fn a_body_that_has_ended_is_let_go_of_while_its_copy_is_kept() {
    let (body, dropped) = pieces(vec![b"hello".to_vec()], true);
    let mut content = Content::new(body, true);
    let mut first = content.lend().expect("it is all there");
    read(&mut first, usize::MAX);
    assert!(dropped.get(), "its client's connection waits for it");
    assert!(content.is_whole());
}

#[test]
fn a_body_that_breaks_off_is_not_sent_again() {
    let body = Body::source(Box::new(Pieces {
        pieces: vec![b"hel".to_vec()].into_iter(),
        now: Vec::new(),
        waited: false,
        length: Length::Unknown,
        fails: true,
        dropped: Rc::default(),
    }));
    let mut content = Content::new(body, true);
    let mut first = content.lend().expect("it is all there");
    assert_eq!(read(&mut first, 3), b"hel");
    let cx = &mut Context::from_waker(Waker::noop());
    let failure = std::iter::from_fn(|| Some(first.poll_fill(cx))).find(Poll::is_ready);
    assert_eq!(failure, Some(Poll::Ready(Err(Failure::ClientGone))));
    assert!(!content.is_whole());
}

#[test]
fn once_an_answer_is_taken_nothing_more_is_kept() {
    let whole = vec![b'x'; 30_000];
    let (body, _) = pieces(whole.chunks(1_000).map(<[u8]>::to_vec).collect(), true);
    let mut content = Content::new(body, true);
    // The first attempt got further than the second has by now.
    let mut first = content.lend().expect("it is all there");
    read(&mut first, 10_000);
    drop(first);
    let mut second = content.lend().expect("it is all there");
    assert_eq!(read(&mut second, 2_500).len(), 2_500);
    drop(content);
    assert_eq!(second.length(), Length::Exact(27_500));
    assert_eq!(read(&mut second, usize::MAX).len(), 27_500, "what was kept, then what comes");
}

proptest! {
    #[test]
    fn every_attempt_reads_the_same(
        sizes in proptest::collection::vec(1usize..9_000, 0..12),
        stops in proptest::collection::vec(0usize..70_000, 0..4),
        known: bool,
    ) {
        let whole: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|at| (at % 249) as u8).collect();
        let mut from = 0;
        let parts: Vec<Vec<u8>> = sizes.iter().map(|size| { from += size; whole[from - size..from].to_vec() }).collect();
        let (body, _) = pieces(parts, known);
        let mut content = Content::new(body, true);
        let mut old = Vec::new();
        for stop in stops {
            if !content.is_whole() {
                prop_assert!(whole.len() > KEPT_BYTES_MAX);
                return Ok(());
            }
            let mut reader = content.lend().expect("it is all there");
            let seen = read(&mut reader, stop);
            prop_assert!(seen == whole[..stop.min(whole.len())]);
            // An attempt that was given up may be dropped later than the next one begins.
            old.push(reader);
        }
        if content.is_whole() {
            let mut last = content.lend().expect("it is all there");
            prop_assert!(read(&mut last, usize::MAX) == whole);
        }
    }
}
