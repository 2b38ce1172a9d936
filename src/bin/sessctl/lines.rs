//! Lines of standard input on their way to the appends: one thread reads, the command takes all that is waiting.
//!
//! Memory is bounded by about one commit of waiting lines and the longest line allowed; a longer one is read over, not read in.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What one read may bring.
const READ_BYTES: usize = 64 * 1024;
/// What a line costs beyond its text: in memory here, as a frame in the commit.
const LINE_OVERHEAD_BYTES: usize = 256;

/// A line of the input that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counted from 1, blank lines included.
    pub(crate) number: u64,
    /// Without its newline; `None` when it is longer than allowed.
    pub(crate) text: Option<Vec<u8>>,
}

impl Line {
    fn cost_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Vec::len).saturating_add(LINE_OVERHEAD_BYTES)
    }
}

/// The lines that are waiting. Shared by the reading thread, the thread that waits for signals, and the command.
#[derive(Debug)]
pub(crate) struct Lines {
    state: Mutex<State>,
    changed: Condvar,
    waiting_bytes_max: usize,
    line_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Line>,
    waiting_bytes: usize,
    stopped: bool,
    /// How the input ended, once everything was read.
    end: Option<io::Result<()>>,
}

impl Lines {
    pub(crate) fn new(waiting_bytes_max: usize, line_bytes_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), waiting_bytes_max, line_bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything now: nothing more is read or handed out.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for lines and takes all that are there, at most about one commit of them. No lines: that was all.
    pub(crate) fn take(&self) -> Vec<Line> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Vec::new();
            }
            if !state.waiting.is_empty() {
                break;
            }
            if state.end.is_some() {
                return Vec::new();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0_usize;
        let mut taken = Vec::new();
        while bytes < self.waiting_bytes_max
            && let Some(line) = state.waiting.pop_front()
        {
            bytes = bytes.saturating_add(line.cost_bytes());
            taken.push(line);
        }
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
        drop(state);
        self.changed.notify_all();
        taken
    }

    /// Returns how reading failed, if it did.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.lock().end.take()?.err()
    }

    /// Reads everything. Ends when the input does or when [`stop`](Self::stop) is called.
    pub(crate) fn read_all(&self, mut input: impl Read) {
        let mut splitter = Splitter { number: 0, partial: Vec::new(), too_long: false, limit: self.line_bytes_max };
        let mut buffer = vec![0; READ_BYTES];
        let end = loop {
            match input.read(&mut buffer) {
                Ok(0) => {
                    let mut lines = Vec::new();
                    // The last line may lack its newline.
                    splitter.end_line(&mut lines);
                    self.put(lines);
                    break Ok(());
                }
                Ok(count) => {
                    if !self.put(splitter.split(buffer.get(..count).unwrap_or_default())) {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.lock().end = Some(end);
        self.changed.notify_all();
    }

    /// Hands lines over, waiting for room; `false` when nobody wants them any more.
    fn put(&self, lines: Vec<Line>) -> bool {
        let mut state = self.lock();
        while state.waiting_bytes >= self.waiting_bytes_max && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return false;
        }
        state.waiting_bytes = lines.iter().fold(state.waiting_bytes, |sum, line| sum.saturating_add(line.cost_bytes()));
        state.waiting.extend(lines);
        drop(state);
        self.changed.notify_all();
        true
    }
}

/// Bytes to lines.
#[derive(Debug)]
struct Splitter {
    number: u64,
    partial: Vec<u8>,
    /// The line that is being read is too long; its bytes are dropped.
    too_long: bool,
    limit: usize,
}

impl Splitter {
    /// Returns the lines that end in `bytes`.
    fn split(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            self.extend(text.unwrap_or(piece));
            if text.is_some() {
                self.end_line(&mut lines);
            }
        }
        lines
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.too_long || self.partial.len().saturating_add(bytes.len()) > self.limit {
            self.too_long = true;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, lines: &mut Vec<Line>) {
        self.number = self.number.saturating_add(1);
        let text = std::mem::take(&mut self.partial);
        let too_long = std::mem::take(&mut self.too_long);
        if too_long || !text.trim_ascii().is_empty() {
            lines.push(Line { number: self.number, text: (!too_long).then_some(text) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line { number, text: Some(text.as_bytes().to_owned()) }
    }

    /// Gives one byte a read.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn any_cut_of_the_input_gives_the_same_lines() {
        let input = b"1\n\n \t\r\n22\r\ntoo long\n333\n4";
        let expected =
            vec![line(1, "1"), line(4, "22\r"), Line { number: 5, text: None }, line(6, "333"), line(7, "4")];
        let whole = Lines::new(1 << 20, 7);
        whole.read_all(&input[..]);
        assert_eq!(whole.take(), expected);
        assert_eq!(whole.take(), []);
        let slow = Lines::new(1 << 20, 7);
        slow.read_all(Slow(input));
        assert_eq!(slow.take(), expected);
        assert!(slow.failure().is_none());
    }

    #[test]
    fn a_reader_waits_for_room_and_a_stop_wakes_it() {
        let lines = Lines::new(1, 7);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| lines.read_all(Slow(b"1\n2\n3\n")));
            assert_eq!(lines.take(), [line(1, "1")]);
            lines.stop();
            assert_eq!(lines.take(), []);
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_failed_read_is_told_after_the_lines_before_it() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let lines = Lines::new(1 << 20, 7);
        lines.read_all(b"1\n".chain(Failing));
        assert_eq!(lines.take(), [line(1, "1")]);
        assert_eq!(lines.take(), []);
        assert!(lines.failure().is_some());
    }
}
