//! What a container may put into its output folder, and a race for it.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;

/// As on this kernel, and as on one without `openat2`.
fn both_ways(path: &Path) -> [Folder; 2] {
    [Folder::open(path).unwrap(), Folder { resolve: Resolve::Steps, ..Folder::open(path).unwrap() }]
}

fn read(folder: &Folder, path: &str) -> io::Result<String> {
    let mut text = String::new();
    folder.file(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn regular_files_are_found_and_everything_else_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir_all(out.join("a/b/empty")).unwrap();
    std::fs::write(out.join("top"), "1").unwrap();
    std::fs::write(out.join("a/b/deep"), "2").unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    symlink(dir.path().join("secret"), out.join("link")).unwrap();
    symlink("top", out.join("inner")).unwrap();
    symlink("/", out.join("a/root")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(out.join("socket")).unwrap();
    rustix::fs::mknodat(CWD, out.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    std::fs::write(out.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "3").unwrap();
    let deep = ["d"; limits::RESULT_DEPTH_MAX + 1].join("/");
    std::fs::create_dir_all(out.join(&deep)).unwrap();
    for folder in both_ways(&out) {
        let found = folder.walk().unwrap();
        assert_eq!(found.files, ["a/b/deep", "top"]);
        let left: Vec<(&str, Why)> = found.left_out.iter().map(|l| (l.path.as_str(), l.why)).collect();
        assert_eq!(
            left,
            [
                ("a/root", Why::SymbolicLink),
                (deep.as_str(), Why::Name),
                ("fifo", Why::Fifo),
                ("inner", Why::SymbolicLink),
                ("link", Why::SymbolicLink),
                ("socket", Why::Socket),
                ("\u{fffd}\u{fffd}", Why::NotUtf8),
            ]
        );
        assert_eq!(found.left_out_total, 7);
        assert_eq!(read(&folder, "a/b/deep").unwrap(), "2");
        for not_there in
            ["link", "inner", "a/root/etc/passwd", "../secret", "/etc/passwd", "a/../top", "fifo", "a", "x", "socket"]
        {
            if not_there == "a/../top" && folder.resolve == Resolve::Kernel {
                // It stays inside, and the kernel sees that; no walk ever names it.
                continue;
            }
            assert!(read(&folder, not_there).is_err(), "{not_there} by {:?}", folder.resolve);
        }
    }
}

#[test]
fn a_link_is_no_folder_to_be_stored() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/etc", dir.path().join("out")).unwrap();
    assert!(Folder::open(&dir.path().join("out")).is_err());
}

#[test]
fn too_many_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..=limits::RESULT_FILES_MAX {
        std::fs::write(dir.path().join(n.to_string()), "").unwrap();
    }
    assert!(matches!(Folder::open(dir.path()).unwrap().walk(), Err(WalkError::TooManyFiles)));
}

/// A container that swaps a file for a link to somebody else's, and a folder for a link to somebody else's, all the time.
#[test]
fn a_swap_of_links_never_shows_a_file_outside() {
    const ROUNDS: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    for folder in [&out.join("folder"), &outside] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(outside.join("file"), "secret").unwrap();
    std::fs::write(out.join("folder/file"), "own").unwrap();
    std::fs::write(out.join("file"), "own").unwrap();
    symlink(outside.join("file"), out.join("file-link")).unwrap();
    symlink(&outside, out.join("folder-link")).unwrap();
    let done = AtomicBool::new(false);
    let exchange = |a: &str, b: &str| {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, out.join(a), CWD, out.join(b), flags).expect("they are exchanged");
    };
    /// Also when an assertion fails: the scope waits for its threads.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| {
            while !done.load(Relaxed) {
                exchange("file", "file-link");
                exchange("folder", "folder-link");
            }
        });
        let (mut own, mut refused) = (0, 0);
        for folder in both_ways(&out) {
            for round in 0..ROUNDS {
                if round.is_multiple_of(100) {
                    let found = folder.walk().unwrap();
                    assert!(found.files.len() <= 4, "nothing outside is listed: {found:?}");
                }
                for path in ["file", "file-link", "folder/file", "folder-link/file"] {
                    match read(&folder, path) {
                        Ok(text) => {
                            assert_eq!(text, "own", "{path} by {:?}", folder.resolve);
                            own += 1;
                        }
                        Err(_) => refused += 1,
                    }
                }
            }
        }
        assert!(own > 0 && refused > 0, "there was something to find and something to refuse: {own}, {refused}");
    });
}
