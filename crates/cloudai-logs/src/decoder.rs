//! Frames out of pieces of a log that are cut anywhere, as a store or a network gives them. Comes in: pieces in order. Goes out: the frames that
//! they complete. What it keeps is less than one frame.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::frame::{Frame, MAGIC, parse};

pub struct Decoder {
    rest: Bytes,
    /// The magic word is behind it.
    has_begun: bool,
}

impl Decoder {
    /// For pieces from the file's beginning on.
    pub fn at_the_beginning() -> Decoder {
        Decoder { rest: Bytes::new(), has_begun: false }
    }

    /// For pieces from the beginning of any frame on.
    pub fn at_a_frame() -> Decoder {
        Decoder { rest: Bytes::new(), has_begun: true }
    }

    pub fn push(&mut self, piece: Bytes) -> io::Result<Vec<Frame>> {
        let mut bytes = if self.rest.is_empty() {
            piece
        } else {
            let mut both = BytesMut::with_capacity(self.rest.len() + piece.len());
            both.extend_from_slice(&self.rest);
            both.extend_from_slice(&piece);
            both.freeze()
        };
        if !self.has_begun {
            if bytes.len() < MAGIC.len() {
                self.rest = bytes;
                return Ok(vec![]);
            }
            if !bytes.starts_with(MAGIC) {
                return Err(io::Error::other("it does not begin as a log does"));
            }
            bytes = bytes.slice(MAGIC.len()..);
            self.has_begun = true;
        }
        let (frames, used) = parse(&bytes)?;
        // A copy: a slice would hold the whole piece in memory for its last bytes.
        self.rest = Bytes::copy_from_slice(&bytes[used..]);
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Source;

    #[test]
    fn it_does_not_matter_where_pieces_are_cut() {
        let frames: Vec<Frame> = (0..5u8)
            .map(|n| Frame {
                time_ns: u64::from(n),
                source: Source::Stdout,
                data: vec![n; usize::from(n) * 7 + 1].into(),
            })
            .collect();
        let mut file = MAGIC.to_vec();
        frames.iter().for_each(|f| f.push_to(&mut file));
        for size in 1..file.len() {
            let mut decoder = Decoder::at_the_beginning();
            let mut read = vec![];
            for piece in file.chunks(size) {
                read.extend(decoder.push(Bytes::copy_from_slice(piece)).unwrap());
            }
            assert_eq!(read, frames, "pieces of {size}");
        }
        let at = MAGIC.len() + frames[0].encoded_len() as usize;
        assert_eq!(Decoder::at_a_frame().push(Bytes::from(file[at..].to_vec())).unwrap(), frames[1..]);
        assert!(Decoder::at_the_beginning().push(Bytes::from_static(b"something else")).is_err());
    }
}
