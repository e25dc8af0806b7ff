//! A log file: a magic word, then frames (payload length, source, nanoseconds since the epoch, bytes). Append only; whatever
//! follows the last whole frame is a write in progress or a torn tail.

use std::io;

use bytes::Bytes;

pub const MAGIC: &[u8; 8] = b"CLDLOG1\n";
const HEADER_BYTES: usize = 13;
/// Longer payloads are split.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// No frame is longer.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADER_BYTES;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Stdout = 1,
    Stderr = 2,
    /// A line of the worker's own.
    Marker = 3,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    pub source: Source,
    pub data: Bytes,
}

impl Frame {
    pub fn marker(time_ns: u64, text: impl Into<String>) -> Frame {
        let mut text: String = text.into();
        text.push('\n');
        Frame { time_ns, source: Source::Marker, data: text.into() }
    }

    pub fn push_to(&self, out: &mut Vec<u8>) {
        for piece in self.data.chunks(PAYLOAD_BYTES_MAX) {
            out.extend_from_slice(&(piece.len() as u32).to_le_bytes());
            out.push(self.source as u8);
            out.extend_from_slice(&self.time_ns.to_le_bytes());
            out.extend_from_slice(piece);
        }
    }

    pub fn encoded_len(&self) -> u64 {
        (self.data.len().div_ceil(PAYLOAD_BYTES_MAX) * HEADER_BYTES + self.data.len()) as u64
    }
}

/// The whole frames at the start of `bytes`, and how many bytes they are.
pub fn parse(bytes: &Bytes) -> io::Result<(Vec<Frame>, usize)> {
    let mut frames = vec![];
    let mut at = 0;
    while bytes.len() - at >= HEADER_BYTES {
        let header = &bytes[at..at + HEADER_BYTES];
        let len = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let source = match header[4] {
            1 => Source::Stdout,
            2 => Source::Stderr,
            3 => Source::Marker,
            other => return Err(io::Error::other(format!("the log is damaged: no source has number {other}"))),
        };
        if len > PAYLOAD_BYTES_MAX {
            return Err(io::Error::other(format!("the log is damaged: a frame of {len} bytes")));
        }
        let time_ns = u64::from_le_bytes(header[5..].try_into().expect("eight bytes"));
        let start = at + HEADER_BYTES;
        if bytes.len() < start + len {
            break;
        }
        frames.push(Frame { time_ns, source, data: bytes.slice(start..start + len) });
        at = start + len;
    }
    Ok((frames, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_a_torn_tail_waits() {
        let frames = [
            Frame { time_ns: 1, source: Source::Stdout, data: Bytes::from_static(b"hello\n") },
            Frame::marker(2, "cut"),
            Frame { time_ns: 3, source: Source::Stderr, data: Bytes::from(vec![7; PAYLOAD_BYTES_MAX + 5]) },
        ];
        let mut bytes = vec![];
        frames.iter().for_each(|f| f.push_to(&mut bytes));
        assert_eq!(bytes.len() as u64, frames.iter().map(Frame::encoded_len).sum::<u64>());
        let (read, used) = parse(&Bytes::from(bytes.clone())).unwrap();
        assert_eq!((read.len(), used), (4, bytes.len()), "the long one was split");
        assert_eq!(read[..2], frames[..2]);
        for cut in 0..40 {
            let (read, used) = parse(&Bytes::copy_from_slice(&bytes[..cut])).unwrap();
            assert!(used <= cut && read.len() <= 2);
        }
        assert!(parse(&Bytes::from(vec![0xff; 64])).is_err());
    }
}
