//! `job download`: what a task has stored, or all tasks of a job, as files here. Comes in: the list, and bytes from the store or any master. Goes out:
//! files whose sums were checked, below one folder. What was fetched in part is gone on with; what is there already stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cloudai_proto::v1::ReadResultRequest;
use cloudai_types::results::{check_path, hex};
use cloudai_types::{ResultFile, limits};
use ring::digest::{Context, SHA256};

use crate::commands::file_bytes::Source;
use crate::commands::result_list::{self, Found, Listed};
use crate::exit::{Code, Failure};
use crate::output::{Format, count, one_line, say, show};
use crate::settings::Settings;
use crate::views::results::{FetchedRow, FetchedRows};

/// Holds files that are not complete, named by their sums.
const PARTS: &str = ".cloudai-parts";

#[derive(Debug, Clone, clap::Args)]
pub struct DownloadArgs {
    /// A job, or one of its tasks
    #[arg(value_name = "JOB[/INDEX]")]
    what: String,
    /// Where the files go; those of a whole job with several tasks go to DIR/INDEX
    #[arg(long, short = 'd', value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Replace files that are there with other contents
    #[arg(long)]
    force: bool,
}

pub async fn run(settings: &Settings, args: &DownloadArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let found = result_list::find(&client, settings, &args.what).await?;
    fs::create_dir_all(&args.dir).map_err(|e| unusable(&args.dir, &e))?;
    let bar = Bar::new(found.listed.iter().flat_map(|l| &l.files).map(|f| f.size).sum());
    let mut rows = vec![];
    let mut source = Source::new(client);
    for listed in &found.listed {
        let folder = if found.is_many { format!("{}/", listed.task.index) } else { String::new() };
        for file in &listed.files {
            bar.begin(&file.path);
            let to = Target::new(&args.dir, &folder, file)?;
            let fetched = fetch(&mut source, &found, listed, file, &to, args.force, &bar).await?;
            rows.push(FetchedRow {
                task: listed.task.to_string(),
                path: file.path.clone(),
                to: to.path.display().to_string(),
                size: file.size,
                sha256: to.sum,
                fetched,
            });
        }
    }
    bar.clear();
    // Empty unless another download runs beside this one.
    let _ = fs::remove_dir(args.dir.join(PARTS));
    if settings.format == Format::Table {
        result_list::say_what_was_left_out(&found);
        say(format!("{} of job {} in {}", count(rows.len() as u64, "file"), found.job, args.dir.display()));
    }
    show(settings.format, &FetchedRows(rows))
}

/// Where one file goes.
struct Target {
    path: PathBuf,
    part: PathBuf,
    /// As the store's manifest says it.
    sum: String,
}

impl Target {
    /// Refuses a name that leads out of the folder, also through a link that lies there. Makes the folders on the way.
    fn new(dir: &Path, folder: &str, file: &ResultFile) -> Result<Target, Failure> {
        let refused = |why: String| {
            Failure::new(Code::Conflict, "refused_name", format!("'{}' is not written", one_line(&file.path))).why(why)
        };
        check_path(&file.path).map_err(|problem| refused(format!("its name {problem}")))?;
        if file.sha256.len() != 32 || file.size > limits::RESULT_FILE_BYTES_MAX {
            return Err(refused("the masters said nothing sensible about its size or its sum".into()));
        }
        let relative = format!("{folder}{}", file.path);
        let mut path = dir.to_owned();
        let mut parts = relative.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let is_folder = parts.peek().is_some();
            match fs::symlink_metadata(&path) {
                Ok(m) if m.is_symlink() => return Err(refused(format!("{} is a link", path.display()))),
                Ok(m) if m.is_dir() != is_folder => {
                    return Err(refused(format!("{} is in the way", path.display())));
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && is_folder => {
                    fs::create_dir(&path).map_err(|e| unusable(&path, &e))?;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(unusable(&path, &e)),
            }
        }
        let sum = hex(&file.sha256);
        Ok(Target { path, part: dir.join(PARTS).join(&sum), sum })
    }
}

/// False: it was there already.
async fn fetch(
    source: &mut Source,
    found: &Found,
    listed: &Listed,
    file: &ResultFile,
    to: &Target,
    force: bool,
    bar: &Bar,
) -> Result<bool, Failure> {
    if let Ok(mut there) = File::open(&to.path) {
        let (size, sum) = sum_of(&mut there).map_err(|e| unusable(&to.path, &e))?;
        if size == file.size && hex(sum.finish().as_ref()) == to.sum {
            bar.add(file.size);
            return Ok(false);
        }
        if !force {
            return Err(Failure::new(
                Code::Conflict,
                "exists",
                format!("{} is there with other contents", to.path.display()),
            )
            .next("give another --dir, or --force to replace it"));
        }
    }
    let (mut part, mut have, mut sum) = open_part(to, file.size)?;
    bar.add(have);
    let request = ReadResultRequest {
        namespace: found.namespace.clone(),
        job: found.job.to_string(),
        index: listed.task.index,
        attempt: listed.attempt,
        path: file.path.clone(),
        offset: have,
        length: 0,
    };
    let mut stream = source.file(request, file.size).await;
    while let Some(bytes) = stream.next().await? {
        part.write_all(&bytes).map_err(|e| unusable(&to.part, &e))?;
        sum.update(&bytes);
        have += bytes.len() as u64;
        bar.add(bytes.len() as u64);
    }
    let seen = hex(sum.finish().as_ref());
    if have != file.size || seen != to.sum {
        // The next try begins anew.
        let _ = fs::remove_file(&to.part);
        return Err(Failure::new(Code::Failed, "damaged", format!("'{}' came damaged", one_line(&file.path)))
            .why(format!("its sum is {seen}, and {} was stored", to.sum))
            .next("try again; where it stays so, the store has damaged it"));
    }
    part.sync_all().map_err(|e| unusable(&to.part, &e))?;
    fs::rename(&to.part, &to.path).map_err(|e| unusable(&to.path, &e))?;
    Ok(true)
}

/// The file that is not complete, at its end: how much it has, and the sum so far.
fn open_part(to: &Target, size: u64) -> Result<(File, u64, Context), Failure> {
    let failed = |e: io::Error| unusable(&to.part, &e);
    if let Some(folder) = to.part.parent() {
        match fs::symlink_metadata(folder) {
            Ok(m) if m.is_dir() => {}
            Ok(_) => return Err(failed(io::Error::other("something that is no folder is in its place"))),
            Err(_) => fs::create_dir(folder).map_err(failed)?,
        }
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
    let mut part = options.open(&to.part).map_err(failed)?;
    let (have, sum) = sum_of(&mut part).map_err(failed)?;
    if have <= size {
        return Ok((part, have, sum));
    }
    part.set_len(0).map_err(failed)?;
    io::Seek::rewind(&mut part).map_err(failed)?;
    Ok((part, 0, Context::new(&SHA256)))
}

/// Reads to the end.
fn sum_of(file: &mut File) -> io::Result<(u64, Context)> {
    let mut sum = Context::new(&SHA256);
    let mut size = 0;
    let mut piece = vec![0; limits::RESULT_CHUNK_BYTES];
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok((size, sum));
        }
        sum.update(&piece[..n]);
        size += n as u64;
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written", path.display())).why(error)
}

/// Progress on a terminal's stderr; nothing elsewhere.
struct Bar(Option<indicatif::ProgressBar>);

impl Bar {
    fn new(bytes: u64) -> Self {
        let style =
            indicatif::ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}");
        let bar = io::stderr().is_terminal().then(|| indicatif::ProgressBar::new(bytes));
        Bar(bar.zip(style.ok()).map(|(bar, style)| bar.with_style(style)))
    }

    fn begin(&self, path: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(one_line(path));
        }
    }

    fn add(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ResultFile {
        ResultFile { path: path.into(), size: 3, sha256: vec![7; 32], media_type: String::new() }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (into, outside) = (dir.path().join("into"), dir.path().join("outside"));
        fs::create_dir(&into).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, into.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("file"), into.join("name")).unwrap();
        let target = |path: &str| Target::new(&into, "", &file(path));
        for bad in ["../a", "/etc/passwd", "a/../../b", "link/a", "name", "", "a/"] {
            assert_eq!(target(bad).err().map(|f| f.code), Some(Code::Conflict), "{bad}");
        }
        assert_eq!(target("deep/er/a").unwrap().path, into.join("deep/er/a"));
        assert!(into.join("deep/er").is_dir());
        fs::write(into.join("plain"), "").unwrap();
        assert!(target("plain/a").is_err() && target("deep").is_err(), "something else is in the way");
        assert_eq!(Target::new(&into, "7/", &file("a")).unwrap().path, into.join("7/a"));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn what_was_fetched_in_part_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let to = Target::new(dir.path(), "", &file("a")).unwrap();
        let (mut part, have, _) = open_part(&to, 3).unwrap();
        assert_eq!(have, 0);
        part.write_all(b"ab").unwrap();
        let (mut part, have, mut sum) = open_part(&to, 3).unwrap();
        assert_eq!(have, 2);
        part.write_all(b"c").unwrap();
        sum.update(b"c");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(sum.finish().as_ref()), abc);
        assert_eq!(fs::read(&to.part).unwrap(), b"abc");
        let (_, have, _) = open_part(&to, 1).unwrap();
        assert_eq!(have, 0, "longer than the file: it is something else");
        fs::remove_file(&to.part).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &to.part).unwrap();
        assert!(open_part(&to, 3).is_err(), "a link is not followed");
    }
}
