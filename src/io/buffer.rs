//! Read buffers that exist only while there is something in them.
//!
//! A thread keeps a few blocks for reuse, so that a connection in use costs no allocation and an idle one no memory. A block is
//! 16 KiB; a long body gets 64 KiB, where a system call moves enough bytes to pay for itself.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

use super::Io;

/// What a head and a small body need.
pub const SMALL: usize = 16 << 10;
/// What a long body gets.
pub const LARGE: usize = 64 << 10;

/// Blocks kept per thread: 4 MiB of small ones, 2 MiB of large ones.
const SMALL_KEPT: usize = 256;
const LARGE_KEPT: usize = 32;
/// Scratch vectors kept per thread, and the largest worth keeping.
const SCRATCH_KEPT: usize = 64;
const SCRATCH_BYTES_MAX: usize = 32 << 10;

#[derive(Default)]
struct Kept {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    scratch: Vec<Vec<u8>>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

fn take_block(size: usize) -> Box<[u8]> {
    let kept = KEPT.with_borrow_mut(|kept| match size {
        SMALL => kept.small.pop(),
        LARGE => kept.large.pop(),
        _ => None,
    });
    // Zeroed once, and reused with whatever it last held: only the part that was read is ever shown.
    kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

fn keep_block(block: Box<[u8]>) {
    // The thread may be ending, its pool gone already: then the block is simply freed.
    let _ = KEPT.try_with(|kept| {
        let kept = &mut *kept.borrow_mut();
        match block.len() {
            SMALL if kept.small.len() < SMALL_KEPT => kept.small.push(block),
            LARGE if kept.large.len() < LARGE_KEPT => kept.large.push(block),
            _ => {}
        }
    });
}

/// Bytes that were read and not yet consumed, in one piece. Holds no block while it is empty and released.
#[derive(Default)]
pub struct Buffer {
    block: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// The last read took all the room there was.
    flows: bool,
}

impl Buffer {
    pub fn new() -> Buffer {
        Buffer::default()
    }

    pub fn data(&self) -> &[u8] {
        match &self.block {
            Some(block) => &block[self.start..self.end],
            None => &[],
        }
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `n` bytes are done with.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Gives the block back where it holds nothing.
    pub fn release(&mut self) {
        if self.is_empty()
            && let Some(block) = self.block.take()
        {
            keep_block(block);
        }
    }

    /// Whether no byte more fits without growing.
    pub fn is_full(&self) -> bool {
        self.block.as_ref().is_some_and(|block| self.len() == block.len())
    }

    /// A larger block: 64 KiB, or twice what it was, up to `most` bytes. `false`: it is as large already.
    pub fn grow(&mut self, most: usize) -> bool {
        let now = self.block.as_ref().map_or(0, |block| block.len());
        let size = match now {
            0 => SMALL,
            SMALL => LARGE,
            _ => now * 2,
        };
        if now > 0 && now >= most {
            return false;
        }
        let mut block = take_block(size);
        let len = self.len();
        if let Some(old) = self.block.take() {
            block[..len].copy_from_slice(&old[self.start..self.end]);
            keep_block(old);
        }
        (self.block, self.start, self.end) = (Some(block), 0, len);
        true
    }

    /// Reads once, behind what is there. 0 means the other end has finished. The buffer must not be full.
    ///
    /// A buffer that stays empty gives its block back, and one whose last read filled it gets a larger one: a stream that waits costs
    /// nothing, one that flows gets what it can use.
    pub fn poll_fill(&mut self, io: &Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        debug_assert!(!self.is_full());
        loop {
            if io.poll_read_ready(cx).is_pending() {
                self.release();
                return Poll::Pending;
            }
            match self.fill_now(io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn fill_now(&mut self, io: &Io) -> io::Result<usize> {
        let n = io.read_now(self.space())?;
        self.filled(n);
        Ok(n)
    }

    /// Room behind what is there, for `filled` to say how much of it was used. None only where the buffer is full.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.flows && self.is_empty() {
            self.grow(LARGE);
        }
        let block = self.block.get_or_insert_with(|| take_block(SMALL));
        if self.end == block.len() {
            block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut block[self.end..]
    }

    pub(super) fn filled(&mut self, n: usize) {
        self.end += n;
        self.flows = self.block.as_ref().is_some_and(|block| self.end == block.len());
    }

    /// At least `n` bytes of room.
    pub(super) fn reserve(&mut self, n: usize) {
        while self.space().len() < n {
            self.grow(usize::MAX);
        }
    }

    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        match &mut self.block {
            Some(block) => &mut block[self.start..self.end],
            None => &mut [],
        }
    }

    pub async fn fill(&mut self, io: &Io) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(io, cx)).await
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            keep_block(block);
        }
    }
}

/// A vector to write a head into, lent by the thread.
pub struct Scratch(Vec<u8>);

impl Scratch {
    pub fn take() -> Scratch {
        Scratch(KEPT.with_borrow_mut(|kept| kept.scratch.pop()).unwrap_or_else(|| Vec::with_capacity(2048)))
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut vector = std::mem::take(&mut self.0);
        vector.clear();
        let _ = KEPT.try_with(|kept| {
            let kept = &mut *kept.borrow_mut();
            if vector.capacity() <= SCRATCH_BYTES_MAX && kept.scratch.len() < SCRATCH_KEPT {
                kept.scratch.push(vector);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_what_is_there() {
        let mut buffer = Buffer::new();
        assert!(buffer.grow(LARGE));
        buffer.block.as_mut().expect("has a block")[..5].copy_from_slice(b"hello");
        buffer.end = 5;
        buffer.consume(1);
        assert!(buffer.grow(LARGE));
        assert_eq!(buffer.data(), b"ello");
        assert!(!buffer.grow(LARGE), "64 KiB is all it may have");
    }

    #[test]
    fn a_block_comes_back_to_its_thread() {
        let mut buffer = Buffer::new();
        buffer.grow(SMALL);
        let at = buffer.block.as_ref().expect("has a block").as_ptr();
        buffer.release();
        assert!(buffer.block.is_none());
        buffer.grow(SMALL);
        assert_eq!(buffer.block.as_ref().expect("has a block").as_ptr(), at);
    }
}
