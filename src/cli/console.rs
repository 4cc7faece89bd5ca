//! Where a command writes: two streams, each with or without colour.
//!
//! A reader that leaves early (`tidegate explain … | head`) is not an error and changes no exit code: what is written after it
//! left goes nowhere.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// What the commands write to: answers to `out`, complaints to `err`.
pub struct Console<'a> {
    pub out: Stream<'a>,
    pub err: Stream<'a>,
}

pub struct Stream<'a> {
    to: &'a mut dyn Write,
    /// Whether colours are wanted there.
    pub colour: bool,
}

impl<'a> Stream<'a> {
    #[cfg(test)]
    pub fn plain(to: &'a mut dyn Write) -> Stream<'a> {
        Stream { to, colour: false }
    }

    /// In colour where it is a terminal that can show it and nobody said otherwise (<https://no-color.org>).
    pub fn of_terminal<T: Write + IsTerminal>(to: &'a mut T) -> Stream<'a> {
        let said = |name| env::var_os(name).filter(|value| !value.is_empty());
        let colour = to.is_terminal() && said("NO_COLOR").is_none() && said("TERM").is_none_or(|term| term != "dumb");
        Stream { to, colour }
    }

    /// `text` in bold where colours are wanted.
    pub fn bold(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.to.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_error() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let mut stream = Stream::plain(&mut writer);
        writeln!(stream, "to nobody").unwrap();
        stream.flush().unwrap();
    }

    #[test]
    fn colour_only_where_wanted() {
        let mut sink = Vec::new();
        let mut stream = Stream::plain(&mut sink);
        assert_eq!(stream.bold("route"), "route");
        stream.colour = true;
        assert_eq!(stream.bold("route"), "\x1b[1mroute\x1b[0m");
    }
}
