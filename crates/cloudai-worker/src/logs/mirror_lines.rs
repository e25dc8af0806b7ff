//! Frames of one attempt as lines. Comes in: frames, not cut at line ends. Goes out: whole lines; a longer one than [`LOG_MIRROR_LINE_BYTES_MAX`] in
//! pieces of that size. Knows no files, and nobody who reads them.

use bytes::{Bytes, BytesMut};
use cloudai_logs::{Frame, Source};
use cloudai_types::limits::LOG_MIRROR_LINE_BYTES_MAX;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Of its first byte; nanoseconds since the epoch.
    pub time_ns: u64,
    pub source: Source,
    /// Without its end.
    pub text: Bytes,
}

/// Begun lines of standard output and standard error.
#[derive(Default)]
pub struct Lines([Option<(u64, BytesMut)>; 2]);

impl Lines {
    /// What these frames complete. Whole lines share the frames' memory.
    pub fn take(&mut self, frames: &[Frame]) -> Vec<Line> {
        let mut out = vec![];
        for frame in frames {
            let source = frame.source;
            let begun = match source {
                Source::Stdout => &mut self.0[0],
                Source::Stderr => &mut self.0[1],
                Source::Marker => {
                    out.push(Line { time_ns: frame.time_ns, source, text: frame.data.slice(..trimmed(&frame.data)) });
                    continue;
                }
            };
            let mut rest = frame.data.clone();
            while !rest.is_empty() {
                let room = LOG_MIRROR_LINE_BYTES_MAX - begun.as_ref().map_or(0, |(_, text)| text.len());
                let end = rest.iter().take(room + 1).position(|b| *b == b'\n');
                let taken = rest.split_to(end.unwrap_or(room).min(rest.len()));
                if end.is_none() && rest.is_empty() {
                    begun.get_or_insert_with(|| (frame.time_ns, BytesMut::new())).1.extend_from_slice(&taken);
                    break;
                }
                let (time_ns, text) = match begun.take() {
                    None => (frame.time_ns, taken),
                    Some((time_ns, mut text)) => {
                        text.extend_from_slice(&taken);
                        (time_ns, text.freeze())
                    }
                };
                out.push(Line { time_ns, source, text });
                if end.is_some() {
                    drop(rest.split_to(1));
                }
            }
        }
        out
    }

    /// Nothing follows: last lines without an end.
    pub fn finish(&mut self) -> Vec<Line> {
        let begun = [Source::Stdout, Source::Stderr].into_iter().zip(std::mem::take(&mut self.0));
        let last = begun.filter_map(|(source, begun)| Some((source, begun?)));
        last.map(|(source, (time_ns, text))| Line { time_ns, source, text: text.freeze() }).collect()
    }
}

/// The length without line ends behind it.
fn trimmed(data: &[u8]) -> usize {
    data.iter().rposition(|b| *b != b'\n').map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(time_ns: u64, source: Source, data: &[u8]) -> Frame {
        Frame { time_ns, source, data: Bytes::copy_from_slice(data) }
    }

    fn shown(lines: Vec<Line>) -> Vec<(u64, Source, String)> {
        lines.into_iter().map(|l| (l.time_ns, l.source, String::from_utf8_lossy(&l.text).into_owned())).collect()
    }

    #[test]
    fn lines_of_two_streams_are_put_together_each_with_the_time_of_its_beginning() {
        let (out, err, own) = (Source::Stdout, Source::Stderr, Source::Marker);
        let mut lines = Lines::default();
        let taken = lines.take(&[
            frame(1, out, b"one\ntw"),
            frame(2, err, b"oh"),
            frame(3, own, b"cloudai: a remark\n"),
            frame(4, out, b"o\n\n"),
            frame(5, err, b" no\nand"),
        ]);
        assert_eq!(
            shown(taken),
            [
                (1, out, "one".to_owned()),
                (3, own, "cloudai: a remark".to_owned()),
                (1, out, "two".to_owned()),
                (4, out, String::new()),
                (2, err, "oh no".to_owned()),
            ]
        );
        assert_eq!(shown(lines.finish()), [(5, err, "and".to_owned())]);
        assert_eq!(lines.finish(), [], "once");
    }

    #[test]
    fn a_line_that_is_too_long_comes_in_pieces() {
        let max = LOG_MIRROR_LINE_BYTES_MAX;
        for (length, pieces) in [(max, vec![max]), (max + 1, vec![max, 1]), (2 * max, vec![max, max])] {
            let mut text = vec![b'x'; length];
            text.push(b'\n');
            let mut lines = Lines::default();
            let got: Vec<usize> = lines.take(&[frame(1, Source::Stdout, &text)]).iter().map(|l| l.text.len()).collect();
            assert_eq!((got, lines.finish()), (pieces.clone(), vec![]), "a line of {length} bytes");
            // Its end comes by itself.
            let (text, end) = text.split_at(length);
            let frames = [frame(1, Source::Stdout, text), frame(2, Source::Stdout, end)];
            let got: Vec<usize> = lines.take(&frames).iter().map(|l| l.text.len()).collect();
            assert_eq!((got, lines.finish()), (pieces, vec![]), "a line of {length} bytes, in two frames");
        }
    }

    proptest! {
        /// However the output is cut into frames, the lines are the same, and no byte of them is lost.
        #[test]
        fn lines_do_not_depend_on_how_the_output_comes(
            text in proptest::collection::vec(prop_oneof![4 => Just(b'x'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..400),
            cuts in proptest::collection::vec(1usize..9, 1..100),
        ) {
            let mut lines = Lines::default();
            let (mut taken, mut at) = (vec![], 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(text.len());
                taken.extend(lines.take(&[frame(7, Source::Stdout, &text[at..end])]));
                at = end;
                if at == text.len() {
                    break;
                }
            }
            taken.extend(lines.finish());
            let mut expected: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            prop_assert_eq!(taken.iter().map(|l| &l.text[..]).collect::<Vec<_>>(), expected);
        }
    }
}
