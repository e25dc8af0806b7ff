//! Which files a checkpoint has: names, sizes and checksums, noted beside them when it is made. Comes in: a directory of files.
//! Goes out: the list, or what is wrong with a file. Without the note, damage on this disk would get a fitting checksum on
//! its way to another master. Knows nothing of what the files contain.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::{self, FileMsg, SnapshotHead, bad};
use crate::error::DAMAGED;

/// Beside `mark` and `data`.
pub const NAME: &str = "files";
/// xxh3 of what follows, little endian.
const SUM_BYTES: usize = 8;

/// The files of `dir`, by name. A file that `before` has too (a hard link to the same bytes) keeps the checksum that it got there:
/// nothing is read twice, and damage since then is not made good.
pub fn list(dir: &Path, before: Option<(&Path, &[FileMsg])>) -> io::Result<Vec<FileMsg>> {
    let mut files = vec![];
    for item in fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name().into_string().map_err(|n| bad(format!("file name {n:?}")))?;
        let meta = item.metadata()?;
        if !meta.is_file() {
            return Err(bad(format!("{name} in a checkpoint is not a file")));
        }
        let known = before.and_then(|(dir, files)| {
            let old = files.iter().find(|f| f.name == name)?;
            let linked = fs::metadata(dir.join(&name)).ok()?;
            (linked.ino() == meta.ino() && linked.dev() == meta.dev() && old.size == meta.len()).then(|| old.clone())
        });
        files.push(match known {
            Some(known) => known,
            None => {
                let (size, xxh3) = digest(&item.path())?;
                FileMsg { name, size, xxh3 }
            }
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn digest(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut size, mut buffer) = (Xxh3::new(), 0, vec![0; 256 << 10]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((size, hash.digest()));
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
}

/// The note, with the checkpoint's mark.
pub fn encode(mark: &Bytes, files: &[FileMsg]) -> Vec<u8> {
    let head = SnapshotHead { vote: None, mark: mark.clone(), files: files.to_vec() }.encode_to_vec();
    let mut raw = xxh3_64(&head).to_le_bytes().to_vec();
    raw.extend_from_slice(&head);
    raw
}

/// The list of a complete checkpoint in `dir` whose mark file says `mark`. `None`: made before there were notes.
pub fn load(dir: &Path, mark: &Bytes) -> io::Result<Option<Vec<FileMsg>>> {
    let raw = match fs::read(dir.join(NAME)) {
        Ok(raw) => raw,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let damaged = |what: &str| bad(format!("{DAMAGED}: {what} of the checkpoint in {}", dir.display()));
    let (sum, head) = raw.split_at_checked(SUM_BYTES).ok_or_else(|| damaged("the list"))?;
    if xxh3_64(head).to_le_bytes() != sum {
        return Err(damaged("the list"));
    }
    let head: SnapshotHead = codec::decode("list of a checkpoint", Bytes::copy_from_slice(head))?;
    if head.mark != *mark {
        return Err(damaged("the mark"));
    }
    Ok(Some(head.files))
}

/// Reads every file once.
pub fn verify(dir: &Path, files: &[FileMsg]) -> io::Result<()> {
    for file in files {
        check(file, digest(&dir.join(&file.name))?)?;
    }
    Ok(())
}

/// Whether a file that was read has the size and the checksum that were noted.
pub fn check(file: &FileMsg, read: (u64, u64)) -> io::Result<()> {
    match read == (file.size, file.xxh3) {
        true => Ok(()),
        false => Err(bad(format!("{DAMAGED}: {} of a checkpoint is not as it was written", file.name))),
    }
}
