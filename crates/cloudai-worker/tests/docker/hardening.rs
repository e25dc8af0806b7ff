//! What a container is, as its own kernel says: nobody, without rights, with one folder to write to; and what the worker refuses.

use cloudai_types::{PullPolicy, Resources};

use super::*;

const MIB: u64 = 1 << 20;

fn with_storage(bytes: u64, spec: JobSpec) -> JobSpec {
    JobSpec { resources: Resources { storage_bytes: bytes, ..spec.resources }, ..spec }
}

async fn said(rig: &Rig, stream: u64, attempt: cloudai_types::AttemptId) -> String {
    assert_eq!(rig.cluster.ending(attempt).await, EndReason::exit(0));
    text(&rig.leader.log(stream, attempt, true, 0).await.stdout)
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {status}"));
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// CVE-2021-32575: what a task really has, as its kernel says: no raw sockets, no devices, nothing new by a set-uid file. Also as root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_raw_dropped() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let nobody = rig.run(1, "cat /proc/self/status");
    let root = rig.leader.assign(2, JobSpec { user: "root".into(), ..sh("cat /proc/self/status") })[0];
    for (stream, attempt, user) in [(1, nobody, "65534"), (2, root, "0")] {
        let status = said(&rig, stream, attempt).await;
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(&status, set), 16), Ok(0), "{set} of {user}");
        }
        let rest = ["Uid:", "Gid:", "NoNewPrivs:", "Seccomp:"].map(|name| field(&status, name));
        assert_eq!(rest, [user, user, "1", "2"]);
    }
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_is_read_only_and_the_scratch_is_not() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let script = "echo x > /x; echo x > /bin/x; echo y > /tmp/y && cat /tmp/y; echo z > /dev/shm/z && cat /dev/shm/z; cat /proc/self/mounts";
    let in_memory = rig.run(1, script);
    let on_disk = rig.leader.assign(2, with_storage(4 * MIB, sh(script)))[0];
    // Root could write there, were it not read-only.
    let as_root = rig.leader.assign(3, JobSpec { user: "0".into(), ..with_storage(4 * MIB, sh(script)) })[0];
    for (stream, attempt, scratch) in [(1, in_memory, "tmpfs"), (2, on_disk, ""), (3, as_root, "")] {
        let said = said(&rig, stream, attempt).await;
        assert!(said.starts_with("y\nz\n"), "{said}");
        let root = said.lines().find(|l| l.split(' ').nth(1) == Some("/")).unwrap();
        assert!(root.split(' ').nth(3).unwrap().split(',').any(|o| o == "ro"), "{root}");
        let tmp = said.lines().find(|l| l.split(' ').nth(1) == Some("/tmp")).unwrap();
        assert!(tmp.split(' ').nth(2).unwrap().starts_with(scratch) && tmp.contains(" rw,"), "{tmp}");
        let errors = text(&rig.leader.log(stream + 10, attempt, true, 0).await.stderr);
        assert_eq!(errors.lines().count(), 2, "{errors}");
        if attempt == as_root {
            assert_eq!(errors.matches("Read-only file system").count(), 2, "{errors}");
        }
    }
    let writes = JobSpec { user: "0".into(), writable_root: true, ..with_storage(4 * MIB, sh("echo x > /x; cat /x")) };
    let writes = rig.leader.assign(4, writes)[0];
    assert_eq!(said(&rig, 4, writes).await, "x\n", "where the job has asked for it");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policy_forbids_is_rejected_and_says_what_would_allow_it() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.networks = vec!["none".into()]).await;
    let root = rig.leader.assign(1, JobSpec { user: "root".into(), ..sh("true") })[0];
    let network = rig.leader.assign(2, JobSpec { network: "default".into(), ..sh("true") })[0];
    // Before its image is looked for.
    let image = "localhost:1/no-such-image:1".to_owned();
    let unknown = rig.leader.assign(3, JobSpec { user: "0".into(), image, ..sh("true") })[0];
    for (attempt, rule, help) in [
        (root, "user:", "allow_root"),
        (network, "network:", "lists others in networks"),
        (unknown, "user:", "allow_root"),
    ] {
        let r = rig.cluster.ending(attempt).await;
        assert_eq!(r.kind(), ReasonKind::Rejected, "{r}");
        assert!(r.detail.starts_with(rule) && r.detail.contains(help), "{r}");
    }
    let alone = rig.run(4, "cat /proc/net/dev");
    let devices = said(&rig, 4, alone).await;
    assert!(devices.contains("lo:") && !devices.contains("eth0:"), "the first that is allowed: {devices}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

/// An image like ours that says something of itself; it goes with this value.
struct Variant(String);

impl Variant {
    fn make(name: &str, changes: &[&str]) -> Variant {
        Variant::of(IMAGE, name, changes)
    }

    fn of(image: &str, name: &str, changes: &[&str]) -> Variant {
        Variant::commit(&docker(&["create", image, "true"]).expect("the image is there"), name, changes)
    }

    /// With what a script has left in it.
    fn ran(script: &str, name: &str, changes: &[&str]) -> Variant {
        let container = docker(&["create", IMAGE, "sh", "-c", script]).expect("the image is there");
        docker(&["start", "-a", &container]).expect("the script runs");
        Variant::commit(&container, name, changes)
    }

    fn commit(container: &str, name: &str, changes: &[&str]) -> Variant {
        let name = format!("localhost:1/cloudai-{name}-{:08x}:1", std::process::id());
        let mut words = vec!["commit"];
        words.extend(changes.iter().flat_map(|change| ["--change", *change]));
        words.extend([container, name.as_str()]);
        docker(&words).expect("it is committed");
        docker(&["rm", container]);
        Variant(name)
    }

    fn runs(&self, script: &str) -> JobSpec {
        JobSpec { image: self.0.clone(), ..sh(script) }
    }
}

impl Drop for Variant {
    fn drop(&mut self) {
        docker(&["image", "rm", "-f", &self.0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_may_name_its_user_and_its_volumes_but_not_root() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let user = Variant::make("user", &["USER 1234:99"]);
    let root = Variant::make("root", &["USER root", "VOLUME /data"]);
    let script = "cat /proc/self/status; cat /proc/self/mounts";
    let own = rig.leader.assign(1, user.runs(script))[0];
    let told = rig.leader.assign(2, JobSpec { user: "7".into(), ..user.runs(script) })[0];
    let as_root = rig.leader.assign(3, root.runs(script))[0];
    let on_disk = rig.leader.assign(4, with_storage(MIB, root.runs(script)))[0];
    let mut mounts = vec![];
    for (stream, attempt, who) in
        [(1, own, ["1234", "99"]), (2, told, ["7", "7"]), (3, as_root, ["65534"; 2]), (4, on_disk, ["65534"; 2])]
    {
        let said = said(&rig, stream, attempt).await;
        assert_eq!([field(&said, "Uid:"), field(&said, "Gid:")], who);
        mounts.push(said.lines().find(|l| l.split(' ').nth(1) == Some("/data")).map(str::to_owned));
    }
    assert_eq!((&mounts[0], &mounts[1]), (&None, &None));
    assert!(mounts[2].as_deref().unwrap().starts_with("tmpfs "), "without storage it is in memory: {mounts:?}");
    assert!(!mounts[3].as_deref().unwrap().starts_with("tmpfs "), "{mounts:?}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

/// An image is free to call root by another name; the worker looks it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_by_another_name_is_root() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|c| c.allow_root = true).await;
    let make = "busybox mkdir -p /etc; echo 'toor:x:0:0::/:' > /etc/passwd; echo 'app:x:77:78::/:' >> /etc/passwd";
    let list = Variant::ran(make, "list", &[]);
    let named = |name: &str| Variant::of(&list.0, name, &[&format!("USER {name}")]);
    let (toor, app, absent) = (named("toor"), named("app"), named("absent"));
    let script = "cat /proc/self/status";
    let toor = rig.leader.assign(1, toor.runs(script))[0];
    let first = rig.leader.assign(2, app.runs(script))[0];
    let absent = rig.leader.assign(3, absent.runs(script))[0];
    let r = rig.cluster.ending(toor).await;
    assert_eq!(r.kind(), ReasonKind::Rejected, "{r}");
    assert!(r.detail.contains("'toor' of its image is root by another name"), "{r}");
    let second = rig.leader.assign(4, app.runs(script))[0];
    for (stream, attempt) in [(2, first), (4, second)] {
        assert_eq!(field(&said(&rig, stream, attempt).await, "Uid:"), "77");
    }
    let r = rig.cluster.ending(absent).await;
    assert!(!r.is_success(), "the engine finds nobody of that name: {r}");
    rig.until_no_containers().await;
    rig.worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_is_asked_as_the_job_says() {
    if !engine() {
        return;
    }
    let mut rig = Rig::start(|_| {}).await;
    // Nobody listens at that registry.
    let here = Variant::make("here", &[]);
    let pull = |pull: PullPolicy| JobSpec { pull: pull as i32, ..here.runs("true") };
    let missing = rig.leader.assign(1, pull(PullPolicy::Missing))[0];
    let never = rig.leader.assign(2, pull(PullPolicy::Never))[0];
    let always = rig.leader.assign(3, pull(PullPolicy::Always))[0];
    let absent = JobSpec { image: "localhost:1/absent:1".into(), ..pull(PullPolicy::Never) };
    let absent = rig.leader.assign(4, absent)[0];
    assert_eq!(rig.cluster.ending(missing).await, EndReason::exit(0));
    assert_eq!(rig.cluster.ending(never).await, EndReason::exit(0));
    assert_eq!(rig.cluster.ending(always).await.kind(), ReasonKind::ImagePullFailed, "although it is here");
    let r = rig.cluster.ending(absent).await;
    assert_eq!(r.kind(), ReasonKind::ImageNotFound, "{r}");
    assert!(r.detail.contains("never to pull it"), "{r}");
    rig.worker.stop().await.unwrap();
}
