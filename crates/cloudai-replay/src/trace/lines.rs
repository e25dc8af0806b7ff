//! Lines of a file, gzip or not, with bounds on both: a small file may unpack to anything. What a line means is deliberately
//! not known here.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use cloudai_types::limits;
use flate2::bufread::MultiGzDecoder;

use super::ReadError;

pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Open { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let is_gzip = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> =
            if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Lines { path: path.to_owned(), reader, buffer: vec![], number: 0, bytes: 0 })
    }

    /// The next line with its number, without its end; `None` after the last.
    pub fn next(&mut self) -> Result<Option<(u64, &str)>, ReadError> {
        self.buffer.clear();
        let bound = limits::TRACE_LINE_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(bound).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| ReadError::Read { path: self.path.clone(), line: self.number, source })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.count(read)?;
        if read > limits::TRACE_LINE_BYTES_MAX {
            return Err(ReadError::LineTooLong { line: self.number });
        }
        let line = self.number;
        let text = std::str::from_utf8(&self.buffer);
        let text = text.map_err(|_| ReadError::Line { line, what: "it is not text (UTF-8)".to_owned() })?;
        Ok(Some((line, text.trim_end())))
    }

    /// All that is left, for formats that are one document.
    pub fn rest(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut all = vec![];
        let bound = limits::TRACE_DOCUMENT_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(bound).read_to_end(&mut all);
        read.map_err(|source| ReadError::Read { path: self.path.clone(), line: self.number, source })?;
        if all.len() > limits::TRACE_DOCUMENT_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        Ok(all)
    }

    fn count(&mut self, read: usize) -> Result<(), ReadError> {
        self.bytes += read as u64;
        if self.bytes > limits::TRACE_BYTES_MAX { Err(ReadError::TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn packed_and_plain_files_read_alike() {
        let text = b"one\ntwo\r\n\nfour";
        for bytes in [text.to_vec(), gzip(text), [gzip(b"one\ntwo\r\n"), gzip(b"\nfour")].concat()] {
            let file = written(&bytes);
            let mut lines = Lines::open(file.path()).unwrap();
            let mut told = vec![];
            while let Some((number, line)) = lines.next().unwrap() {
                told.push(format!("{number} {line}"));
            }
            assert_eq!(told, ["1 one", "2 two", "3 ", "4 four"]);
        }
    }

    #[test]
    fn a_line_without_end_stops_at_its_bound() {
        let file = written(&gzip(&vec![b'x'; limits::TRACE_LINE_BYTES_MAX + 1]));
        let refused = Lines::open(file.path()).unwrap().next().unwrap_err();
        assert!(matches!(refused, ReadError::LineTooLong { line: 1 }), "{refused}");
    }

    #[test]
    fn a_torn_packed_file_is_an_error_and_no_short_trace() {
        let packed = gzip(b"one\ntwo\n");
        let file = written(&packed[..packed.len() - 6]);
        let mut lines = Lines::open(file.path()).unwrap();
        let refused = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a torn file ended well"),
                Err(e) => break e,
            }
        };
        assert!(matches!(refused, ReadError::Read { .. }), "{refused}");
    }
}
