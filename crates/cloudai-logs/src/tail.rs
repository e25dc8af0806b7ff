//! Where the last lines of a log begin. Comes in: every frame that is wanted, with its place. Goes out: the place of the first one to show.
//! It remembers as many lines as are asked for, however long the log is.

use std::collections::VecDeque;

use crate::frame::Frame;

pub struct Tail {
    lines: usize,
    /// Runs of frames that each end with the end of a line, but for the last: where they begin, and how many lines end in them.
    runs: VecDeque<(u64, usize)>,
    /// Lines that end in all of them.
    ended: usize,
    /// The last run's line goes on.
    is_open: bool,
}

impl Tail {
    pub fn new(lines: u32) -> Tail {
        Tail { lines: lines as usize, runs: VecDeque::new(), ended: 0, is_open: false }
    }

    /// An engine gives a frame per line, so frames are what can be skipped: one with several lines is shown whole, or not.
    pub fn see(&mut self, at: u64, frame: &Frame) {
        let ends = frame.data.iter().filter(|b| **b == b'\n').count();
        match self.runs.back_mut() {
            Some((_, lines)) if self.is_open => *lines += ends,
            Some(_) | None => self.runs.push_back((at, ends)),
        }
        self.ended += ends;
        self.is_open = !frame.data.ends_with(b"\n");
        // A line that has only begun counts as one: it is the last.
        while self.runs.len() > 1
            && let Some((_, first)) = self.runs.front()
            && self.ended - first + usize::from(self.is_open) >= self.lines
        {
            self.ended -= first;
            self.runs.pop_front();
        }
    }

    /// `None`: nothing was seen.
    pub fn begins_at(&self) -> Option<u64> {
        self.runs.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Source;
    use bytes::Bytes;

    fn shown(lines: u32, texts: &[&'static str]) -> String {
        let frame = |text: &'static str| Frame {
            time_ns: 0,
            source: Source::Stdout,
            data: Bytes::from_static(text.as_bytes()),
        };
        let mut tail = Tail::new(lines);
        for (n, text) in texts.iter().enumerate() {
            tail.see(n as u64, &frame(text));
            assert!(tail.runs.len() <= lines.max(1) as usize + 1, "what it keeps is bounded");
        }
        tail.begins_at().map_or(String::new(), |at| texts[at as usize..].concat())
    }

    #[test]
    fn the_last_lines_and_no_more() {
        let five = ["a\n", "b\n", "c\n", "d\n", "e\n"];
        assert_eq!(shown(2, &five), "d\ne\n");
        assert_eq!(shown(9, &five), "a\nb\nc\nd\ne\n");
        assert_eq!(shown(1, &[]), "");
        assert_eq!(shown(2, &["a\n", "b\n", "c"]), "b\nc", "an unfinished line is one");
        assert_eq!(shown(1, &["a\n", "b", "c", "d\n"]), "bcd\n", "a line in three frames is shown whole");
        assert_eq!(shown(2, &["a\nb\nc\n", "d\n"]), "a\nb\nc\nd\n", "a frame is not cut");
        assert_eq!(shown(1, &["a\nb\nc\n", "d\n"]), "d\n");
    }
}
