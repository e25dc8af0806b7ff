//! Frames as messages. Comes in: frames of any size. Goes out: lists of wire frames, each list of bounded size.

use bytes::Bytes;
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::log_frame;
use cloudai_types::limits::LOG_CHUNK_BYTES_MAX;

use crate::frame::{Frame, Source};

/// Messages of bounded size; a frame that is larger is split.
pub fn messages(frames: Vec<Frame>) -> Vec<Vec<pb::LogFrame>> {
    let mut out = vec![vec![]];
    let mut bytes = 0;
    for frame in frames {
        let mut rest: Bytes = frame.data.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(LOG_CHUNK_BYTES_MAX));
            if bytes + piece.len() > LOG_CHUNK_BYTES_MAX {
                out.push(vec![]);
                bytes = 0;
            }
            bytes += piece.len();
            let last = out.last_mut().expect("there is always one");
            last.push(Frame { data: piece, ..frame.clone() }.into());
        }
    }
    out
}

impl From<Frame> for pb::LogFrame {
    fn from(frame: Frame) -> pb::LogFrame {
        let source = match frame.source {
            Source::Stdout => log_frame::Source::Stdout,
            Source::Stderr => log_frame::Source::Stderr,
            Source::Marker => log_frame::Source::Marker,
        };
        pb::LogFrame { time_ms: frame.time_ns / 1_000_000, source: source as i32, data: frame.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_larger_than_the_bound_and_nothing_is_lost() {
        let frame = |len| Frame { time_ns: 5_000_000, source: Source::Stdout, data: Bytes::from(vec![1; len]) };
        let sizes = [1, LOG_CHUNK_BYTES_MAX, 10, 3 * LOG_CHUNK_BYTES_MAX + 7];
        let out = messages(sizes.into_iter().map(frame).collect());
        let total: usize = out.iter().flatten().map(|f| f.data.len()).sum();
        assert_eq!(total, sizes.iter().sum::<usize>());
        assert!(out.iter().all(|c| c.iter().map(|f| f.data.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX));
    }
}
