//! An attempt's output folder, as a place that nothing leads out of. Comes in: a folder that a container may have written anything
//! into, and may be changing still. Goes out: the regular files in it, opened so that no link, mount or renamed folder is followed
//! on the way; whatever else lies there, by name.
//!
//! Each open is resolved by the kernel below the folder's own descriptor (`openat2`), or, where the kernel has no such call, one part
//! of the path after the other. Either way the name that was looked at and the file that is read cannot be told apart in between.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use cloudai_types::{limits, results};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, statat};
use rustix::io::Errno;

use crate::manifest::{LeftOut, Why};

/// A rename beside us can make the kernel ask for another try.
const TRIES_MAX: u32 = 16;

pub struct Folder {
    root: OwnedFd,
    resolve: Resolve,
}

/// How a path is resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resolve {
    Kernel,
    /// For kernels before 5.6, and sandboxes that refuse the call.
    Steps,
}

/// What a folder holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Paths of regular files, in their order.
    pub files: Vec<String>,
    /// The first [`limits::RESULT_LEFT_OUT_MAX`] of what is not stored, in their order, and how many there are.
    pub left_out: Vec<LeftOut>,
    pub left_out_total: u32,
}

/// Why a folder cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error("it holds more than {} files", limits::RESULT_FILES_MAX)]
    TooManyFiles,
    #[error("it holds more than {} entries", limits::RESULT_ENTRIES_MAX)]
    TooManyEntries,
    #[error("'{path}' cannot be listed")]
    Io { path: String, source: io::Error },
}

impl Folder {
    /// The folder itself is ours: only its contents are not trusted.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        let resolve = match beneath(root.as_fd(), c".", OFlags::DIRECTORY, Resolve::Kernel) {
            Err(Errno::NOSYS | Errno::PERM) => Resolve::Steps,
            Ok(_) | Err(_) => Resolve::Kernel,
        };
        Ok(Folder { root, resolve })
    }

    /// Opens a regular file for reading.
    pub fn file(&self, path: &str) -> io::Result<File> {
        let path = c_path(path)?;
        // Without blocking: it may be a FIFO by now.
        let fd = beneath(self.root.as_fd(), &path, OFlags::NONBLOCK | OFlags::NOCTTY, self.resolve)?;
        match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file any more")),
        }
    }

    /// Everything that lies in the folder.
    pub fn walk(&self) -> Result<Found, WalkError> {
        let mut walk = Walk { found: Found::default(), folders: vec![String::new()], entries: 0 };
        while let Some(folder) = walk.folders.pop() {
            self.list(&folder, &mut walk)?;
        }
        let mut found = walk.found;
        found.files.sort_unstable();
        found.left_out.sort_unstable();
        Ok(found)
    }

    fn list(&self, folder: &str, walk: &mut Walk) -> Result<(), WalkError> {
        let failed = |source: io::Error| WalkError::Io { path: folder.to_owned(), source };
        let path = c_path(if folder.is_empty() { "." } else { folder }).map_err(failed)?;
        let fd = match beneath(self.root.as_fd(), &path, OFlags::DIRECTORY, self.resolve) {
            Ok(fd) => fd,
            // Somebody put something else in its place.
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) if !folder.is_empty() => {
                walk.leave_out(folder.to_owned(), Why::Changed);
                return Ok(());
            }
            Err(Errno::XDEV) => {
                walk.leave_out(folder.to_owned(), Why::OtherFileSystem);
                return Ok(());
            }
            Err(error) => return Err(failed(error.into())),
        };
        for entry in Dir::read_from(&fd).map_err(|e| failed(e.into()))? {
            let entry = entry.map_err(|e| failed(e.into()))?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                walk.entry(folder, fd.as_fd(), name).map_err(|e| e.unwrap_or_else(|errno| failed(errno.into())))?;
            }
        }
        Ok(())
    }
}

struct Walk {
    found: Found,
    /// Still to be listed.
    folders: Vec<String>,
    entries: usize,
}

impl Walk {
    fn entry(&mut self, folder: &str, fd: BorrowedFd<'_>, name: &CStr) -> Result<(), Result<WalkError, Errno>> {
        self.entries += 1;
        if self.entries > limits::RESULT_ENTRIES_MAX {
            return Err(Ok(WalkError::TooManyEntries));
        }
        let below = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let Ok(text) = name.to_str() else {
            self.leave_out(below(&name.to_string_lossy()), Why::NotUtf8);
            return Ok(());
        };
        let path = below(text);
        if results::check_path(&path).is_err() {
            self.leave_out(path, Why::Name);
            return Ok(());
        }
        let stat = match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                self.leave_out(path, Why::Changed);
                return Ok(());
            }
            Err(error) => return Err(Err(error)),
        };
        let why = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if self.found.files.len() >= limits::RESULT_FILES_MAX => {
                return Err(Ok(WalkError::TooManyFiles));
            }
            FileType::RegularFile => {
                self.found.files.push(path);
                return Ok(());
            }
            FileType::Directory => {
                self.folders.push(path);
                return Ok(());
            }
            FileType::Symlink => Why::SymbolicLink,
            FileType::Fifo => Why::Fifo,
            FileType::Socket => Why::Socket,
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Why::Device,
        };
        self.leave_out(path, why);
        Ok(())
    }

    fn leave_out(&mut self, path: String, why: Why) {
        self.found.left_out_total = self.found.left_out_total.saturating_add(1);
        if self.found.left_out.len() < limits::RESULT_LEFT_OUT_MAX {
            self.found.left_out.push(LeftOut::new(&path, why));
        }
    }
}

fn c_path(path: &str) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(path).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "its name holds a NUL"))
}

/// Opens for reading what lies below `root`, and fails where the path leads through a link or out of it.
fn beneath(root: BorrowedFd<'_>, path: &CStr, more: OFlags, resolve: Resolve) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    match resolve {
        Resolve::Kernel => {
            let how =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
            let mut tries = 1;
            loop {
                match openat2(root, path, flags, Mode::empty(), how) {
                    Err(Errno::AGAIN | Errno::INTR) if tries < TRIES_MAX => tries += 1,
                    opened => return opened,
                }
            }
        }
        Resolve::Steps => {
            let parts: Vec<&[u8]> = path.to_bytes().split(|b| *b == b'/').collect();
            let (last, folders) = parts.split_last().ok_or(Errno::NOENT)?;
            let mut at: Option<OwnedFd> = None;
            for part in folders {
                let step = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                at = Some(step_to(at.as_ref().map_or(root, |fd| fd.as_fd()), part, step)?);
            }
            step_to(at.as_ref().map_or(root, |fd| fd.as_fd()), last, flags)
        }
    }
}

/// One part of a path, which cannot lead anywhere else: the folder is open already, and the last part is never followed.
fn step_to(folder: BorrowedFd<'_>, part: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    if part.is_empty() || part == b".." {
        return Err(Errno::INVAL);
    }
    openat(folder, part, flags, Mode::empty())
}

#[cfg(test)]
#[path = "folder_test.rs"]
mod tests;
