//! A registry of images on loopback (Debian's package docker-registry), and a way to it that can stall. Comes in: perhaps a login. Goes out: images
//! whose layers no engine has, and what the registry was asked. Its process ends with the value, by its pid.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a stalled way lets through: a manifest and a configuration, and no layer.
const STALLS_AFTER: usize = 256 << 10;
/// Of an image's layer that nobody can guess: more than that.
const NOISE_BYTES: u64 = 2 << 20;

pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    login: Option<(String, String)>,
    process: Child,
    dir: tempfile::TempDir,
}

fn finished(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Why there can be no registry, in one line.
pub fn why_not() -> Option<String> {
    for (program, argument, package) in
        [("docker-registry", "--version", "docker-registry"), ("htpasswd", "-v", "apache2-utils")]
    {
        let mut look = Command::new(program);
        look.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if look.status().is_err() {
            return Some(format!("there is no `{program}` (package {package}; `make setup` installs it)"));
        }
    }
    None
}

impl Registry {
    /// With a login nobody else may push or pull.
    pub fn start(login: Option<(&str, &str)>) -> Registry {
        let dir = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let host = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let at = |name: &str| dir.path().join(name);
        let auth = match login {
            None => String::new(),
            Some((name, password)) => {
                let line = finished(Command::new("htpasswd").args(["-nbB", name, password]), "");
                fs::write(at("htpasswd"), line.stdout).expect("written");
                format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", at("htpasswd").display())
            }
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n{auth}",
            at("data").display()
        );
        fs::write(at("config.yml"), config).expect("written");
        let log = File::create(at("log")).expect("a log");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(at("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("it can be started");
        let login = login.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let registry = Registry { host, login, process, dir };
        let begun = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the registry does not listen: {}", registry.log());
            thread::sleep(Duration::from_millis(20));
        }
        if let Some((name, password)) = &registry.login {
            registry.docker(&["login", "--username", name, "--password-stdin", &registry.host], password);
        }
        registry
    }

    /// With a configuration of its own: nobody's logins are read or changed.
    fn docker(&self, arguments: &[&str], input: &str) -> String {
        let output =
            finished(Command::new("docker").arg("--config").arg(self.dir.path().join("docker")).args(arguments), input);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// An image with `sh`, `cat` and `sleep`, and `text` in the file `/which`. The engine does not keep it. Returns its digest.
    pub fn push(&self, name: &str, text: &str) -> String {
        let root = tempfile::tempdir().expect("a folder");
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).expect("made");
            path
        };
        let (bin, tmp) = (make("bin"), make("tmp"));
        fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).expect("set");
        fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).expect("set");
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|p| p.exists());
        fs::copy(busybox.expect("a static busybox (package busybox-static)"), bin.join("busybox")).expect("copied");
        for program in ["sh", "cat", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(program)).expect("linked");
        }
        fs::write(root.path().join("which"), format!("{text}\n")).expect("written");
        let mut noise = vec![];
        File::open("/dev/urandom").and_then(|f| f.take(NOISE_BYTES).read_to_end(&mut noise)).expect("noise");
        fs::write(root.path().join("noise"), noise).expect("written");
        let image = format!("{}/{name}", self.host);
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar");
        let import = Command::new("docker")
            .args(["import", "-", &image])
            .stdin(tar.stdout.take().expect("piped"))
            .output()
            .expect("docker import");
        assert!(tar.wait().expect("it ends").success() && import.status.success(), "{import:?}");
        let pushed = self.docker(&["push", &image], "");
        self.docker(&["rmi", &image], "");
        let digest = pushed.split_whitespace().skip_while(|word| *word != "digest:").nth(1);
        digest.unwrap_or_else(|| panic!("no digest in: {pushed}")).to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `GET /v2/…`, of those that were answered with 200, in order.
    pub fn answered(&self) -> Vec<String> {
        let log = self.log();
        let requests = log.lines().filter_map(|line| line.split_once('"').and_then(|(_, rest)| rest.split_once('"')));
        let good = requests.filter(|(_, rest)| rest.starts_with(" 200 "));
        good.filter_map(|(request, _)| request.strip_suffix(" HTTP/1.1").map(str::to_owned)).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        forget(&self.host);
    }
}

/// Removes what an engine has of a registry.
fn forget(host: &str) {
    let of = format!("reference={host}/*");
    if let Ok(listed) = Command::new("docker").args(["images", "--quiet", "--no-trunc", "--filter", &of]).output() {
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            let _ = Command::new("docker").args(["rmi", "--force", id]).output();
        }
    }
}

/// A way to a registry with a port of its own. While it stalls, each connection brings a little, and then nothing more, without an end.
pub struct Way {
    pub host: String,
    pub stalls: Arc<AtomicBool>,
}

impl Way {
    pub fn to(registry: &Registry) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let stalls = Arc::new(AtomicBool::new(false));
        let (to, stalled) = (registry.host.clone(), stalls.clone());
        // It ends with the test's process.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&to) else { continue };
                let (near_in, far_out) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
                let stalled = stalled.clone();
                thread::spawn(move || carry(near_in, far_out, &AtomicBool::new(false)));
                thread::spawn(move || carry(far, near, &stalled));
            }
        });
        Way { host, stalls }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        forget(&self.host);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, stalls: &AtomicBool) {
    let (mut buffer, mut carried) = ([0; 16 << 10], 0);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        while stalls.load(SeqCst) && carried > STALLS_AFTER {
            thread::sleep(Duration::from_millis(20));
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        carried += n;
    }
    let _ = to.shutdown(Shutdown::Write);
}
