//! Which frames of a log a reader wants. Comes in: what a request says. Goes out: yes or no for each frame.

use cloudai_proto::v1::log_frame;

use crate::frame::{Frame, Source};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// What was written before is left out. Milliseconds since the epoch; 0: nothing is.
    pub since_ms: u64,
    /// Only this stream; markers come in any case. `None`: both.
    pub only: Option<Source>,
}

impl Selection {
    /// As a request carries it. What nobody knows yet is no restriction.
    pub fn of_wire(since_ms: u64, only: i32) -> Selection {
        let only = match log_frame::Source::try_from(only) {
            Ok(log_frame::Source::Stdout) => Some(Source::Stdout),
            Ok(log_frame::Source::Stderr) => Some(Source::Stderr),
            Ok(log_frame::Source::Unspecified | log_frame::Source::Marker) | Err(_) => None,
        };
        Selection { since_ms, only }
    }

    pub fn takes(&self, frame: &Frame) -> bool {
        let is_its_stream = frame.source == Source::Marker || self.only.is_none_or(|only| frame.source == only);
        is_its_stream && frame.time_ns >= self.since_ms.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn time_and_stream_select_and_a_marker_is_of_no_stream() {
        let frame = |ms: u64, source| Frame { time_ns: ms * 1_000_000, source, data: Bytes::from_static(b"x") };
        let frames =
            [frame(1, Source::Stdout), frame(2, Source::Stderr), frame(3, Source::Marker), frame(4, Source::Stdout)];
        let taken =
            |s: Selection| frames.iter().filter(|f| s.takes(f)).map(|f| f.time_ns / 1_000_000).collect::<Vec<_>>();
        let of = |since_ms, only: log_frame::Source| Selection::of_wire(since_ms, only as i32);
        assert_eq!(taken(Selection::default()), [1, 2, 3, 4]);
        assert_eq!(taken(of(2, log_frame::Source::Unspecified)), [2, 3, 4]);
        assert_eq!(taken(of(0, log_frame::Source::Stdout)), [1, 3, 4]);
        assert_eq!(taken(of(0, log_frame::Source::Stderr)), [2, 3]);
        assert_eq!(taken(of(u64::MAX, log_frame::Source::Unspecified)), [0; 0]);
        assert_eq!(Selection::of_wire(0, 99), Selection::default());
    }
}
