//! What a container is allowed to be: the job's wishes against the operator's rules. Comes in: a spec, what its image says of itself, the
//! operator's [`Policy`]. Goes out: the container's [`Settings`], or the [`Refusal`] that names the rule. Pure, and asked by the worker
//! itself, whatever the masters have let through.
//!
//! What no spec can ask for has no field to ask with and no rule here: privileges, capabilities, devices, the namespaces of the machine or of
//! other containers. Which host paths may be mounted is decided in `mounts`.

use std::path::Path;

use cloudai_types::volume::{VolumeKind, plain_path as plain};
use cloudai_types::{JobSpec, limits, results, secrets, spec};

use super::users::{Known, PASSWD};
use crate::volumes_config::Share;

/// Who a task is when neither its job nor its image names anybody but root.
pub const NOBODY: &str = "65534:65534";
/// The one folder that every task may write to.
pub const SCRATCH: &str = "/tmp";
pub const DEFAULT_NETWORK: &str = "default";
pub const NO_NETWORK: &str = "none";

/// What the operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    pub allow_root: bool,
    /// What a job may ask for. The first is what one gets that names none.
    networks: Vec<String>,
    named_volumes: bool,
    shares: Vec<Share>,
}

impl Policy {
    /// Without any network in the list: the engine's own, and none. With named volumes, without shares of servers.
    pub fn new(allow_root: bool, networks: &[String]) -> Policy {
        let usual = || [DEFAULT_NETWORK, NO_NETWORK].map(str::to_owned).to_vec();
        let networks = if networks.is_empty() { usual() } else { networks.to_vec() };
        Policy { allow_root, networks, named_volumes: true, shares: vec![] }
    }

    #[must_use]
    pub fn with_volumes(self, named_volumes: bool, shares: Vec<Share>) -> Policy {
        Policy { named_volumes, shares, ..self }
    }
}

/// What an image says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    /// By content: what is decided by it holds for what is run, also when its name is given away in between.
    pub id: String,
    pub user: String,
    /// Paths for which the engine would make a volume.
    pub volumes: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    /// The engine's own, or a sandbox of this worker that is as good.
    Own,
    /// The engine's mode: `none`, or a network's name.
    Mode(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub user: String,
    /// The image calls its user by a name: whether that is root has to be looked up and told to [`named`].
    pub is_named: bool,
    /// For a user whom the image does not know.
    pub home: Option<&'static str>,
    pub network: Network,
    pub writable_root: bool,
    /// Folders on the engine's disk, made for this task and gone with it.
    pub on_disk: Vec<String>,
    /// Folders in memory, each of [`limits::SCRATCH_BYTES_DEFAULT`].
    pub in_memory: Vec<String>,
}

/// Which rule forbids it, and what would help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error(
        "user: this worker lets no task be root; leave user out, name another, or have its operator allow it (allow_root)"
    )]
    Root,
    #[error("user: {0}")]
    User(String),
    #[error("user: the user '{0}' of its image is root by another name; name a number in the job (user: UID:GID)")]
    NamedRoot(String),
    #[error(
        "user: whether the user '{0}' of its image is root cannot be told from its /etc/passwd; name a number in the job (user: UID:GID)"
    )]
    Untold(String),
    #[error(
        "network: this worker does not allow '{asked}'; it allows {}, and its operator lists others in networks", allowed.join(", ")
    )]
    Network { asked: String, allowed: Vec<String> },
    #[error("volumes: {0}")]
    Volume(String),
    #[error("volumes: this worker keeps no named volumes ('{0}'); its operator decides (volumes.named)")]
    NamedVolume(String),
    #[error("volumes: this worker does not allow the share {server}:{path}; its operator lists shares (volumes.nfs)")]
    Share { server: String, path: String },
    #[error(
        "its image declares {0} volumes, and {max} are allowed; ask for storage to have them on disk", max = limits::MOUNTS_MAX
    )]
    Volumes(usize),
}

/// What does not depend on the image is refused also without one: ask before it is pulled.
pub fn settings(spec: &JobSpec, image: &Image, policy: &Policy) -> Result<Settings, Refusal> {
    let network = network(spec, policy)?;
    let user = user(spec, image, policy)?;
    volumes(spec, policy)?;
    // By the job's mounts, or by the folders that the worker itself makes for it.
    let is_taken = |path: &String| {
        targets(spec).any(|target| plain(target) == *path)
            || (spec.results && path == results::OUT_DIR)
            || (!spec.inputs.is_empty() && path == results::IN_DIR)
            || (!spec.secrets.is_empty() && path == secrets::DIR)
    };
    let mut own = vec![SCRATCH.to_owned()];
    if spec.resources.storage_bytes == 0 {
        // The engine would make a volume for each, on a disk of which the job has asked for nothing.
        own.extend(image.volumes.iter().map(|v| plain(v)).filter(|v| v != SCRATCH));
    }
    own.retain(|path| !is_taken(path));
    if own.len() > limits::MOUNTS_MAX {
        return Err(Refusal::Volumes(own.len()));
    }
    let (on_disk, in_memory) = if spec.resources.storage_bytes == 0 { (vec![], own) } else { (own, vec![]) };
    let is_named = spec.user.is_empty() && is_name(&user);
    if is_named && targets(spec).any(|target| Path::new(PASSWD).starts_with(plain(target))) {
        // What would be read there is not what the engine goes by.
        return Err(Refusal::Untold(user));
    }
    let home = (user == NOBODY && !spec.env.contains_key("HOME")).then_some(SCRATCH);
    Ok(Settings { user, is_named, home, network, writable_root: spec.writable_root, on_disk, in_memory })
}

/// Where the job itself has something mounted.
fn targets(spec: &JobSpec) -> impl Iterator<Item = &String> {
    spec.mounts.iter().map(|m| &m.target).chain(spec.volumes.iter().map(|v| &v.target))
}

/// The masters have checked each one; this worker does not rely on it.
fn volumes(spec: &JobSpec, policy: &Policy) -> Result<(), Refusal> {
    for volume in &spec.volumes {
        volume.check().map_err(Refusal::Volume)?;
        match VolumeKind::try_from(volume.kind) {
            Ok(VolumeKind::Tmpfs) => {}
            Ok(VolumeKind::Nfs) => {
                if !policy.shares.iter().any(|share| share.has(&volume.server, &volume.path)) {
                    return Err(Refusal::Share { server: volume.server.clone(), path: volume.path.clone() });
                }
            }
            // The namespace is part of its name: the masters fill it in.
            Ok(VolumeKind::Named) | Err(_) => {
                if !policy.named_volumes {
                    return Err(Refusal::NamedVolume(volume.name.clone()));
                }
                spec::check_name(&spec.namespace)
                    .map_err(|problem| Refusal::Volume(format!("its namespace {problem}")))?;
            }
        }
    }
    Ok(())
}

/// A user whom the image calls by a name, looked up in its list.
pub fn named(user: &str, known: Known) -> Result<(), Refusal> {
    match known {
        Known::Other => Ok(()),
        Known::Root => Err(Refusal::NamedRoot(user.to_owned())),
        Known::Untold => Err(Refusal::Untold(user.to_owned())),
    }
}

fn network(spec: &JobSpec, policy: &Policy) -> Result<Network, Refusal> {
    let asked = if spec.network.is_empty() { policy.networks.first() } else { Some(&spec.network) };
    let asked = asked.map_or(NO_NETWORK, String::as_str);
    // The masters have checked the spec; this worker does not rely on it.
    if spec::check_network(asked).is_err() || !policy.networks.iter().any(|allowed| allowed == asked) {
        return Err(Refusal::Network { asked: asked.to_owned(), allowed: policy.networks.clone() });
    }
    Ok(if asked == DEFAULT_NETWORK { Network::Own } else { Network::Mode(asked.to_owned()) })
}

fn user(spec: &JobSpec, image: &Image, policy: &Policy) -> Result<String, Refusal> {
    if spec.user.is_empty() {
        return Ok(if is_root(&image.user) { NOBODY.to_owned() } else { image.user.clone() });
    }
    let (user, group) = spec::parse_user(&spec.user).map_err(Refusal::User)?;
    if user == 0 && !policy.allow_root {
        return Err(Refusal::Root);
    }
    Ok(format!("{user}:{group}"))
}

/// As an image says it: nothing, `root`, `0`, `0:0`. An engine reads `+0` and `00` as 0 too, and takes root where only a group is named.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default().trim();
    let is_number = name.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit());
    if is_number { is_root_number(name) } else { name == "root" }
}

/// A number that an engine may take for 0: 0 itself, none at all, and what does not fit into its own numbers.
pub fn is_root_number(text: &str) -> bool {
    !text.parse::<u32>().is_ok_and(|n| (1..=limits::USER_NUMBER_MAX).contains(&n))
}

/// An engine takes what is no number for a name.
fn is_name(user: &str) -> bool {
    user.split(':').next().unwrap_or_default().trim().parse::<u32>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Resources;
    use cloudai_types::Volume;
    use cloudai_types::spec::Mount;
    use proptest::prelude::*;

    fn strict() -> Policy {
        Policy::new(false, &[])
    }

    fn spec() -> JobSpec {
        JobSpec { image: "i".into(), ..Default::default() }
    }

    fn image(user: &str) -> Image {
        Image { id: "sha256:1".into(), user: user.into(), volumes: vec![] }
    }

    #[test]
    fn who_a_task_is() {
        let open = Policy::new(true, &[]);
        // What the job says, what the image says, who it is where root is forbidden, and where it is allowed.
        let table: [(&str, &str, Result<&str, Refusal>, &str); 15] = [
            ("", "", Ok(NOBODY), NOBODY),
            ("", "root", Ok(NOBODY), NOBODY),
            ("", "0", Ok(NOBODY), NOBODY),
            ("", "0:0", Ok(NOBODY), NOBODY),
            ("", "+0", Ok(NOBODY), NOBODY),
            ("", "00:5", Ok(NOBODY), NOBODY),
            ("", ":1000", Ok(NOBODY), NOBODY),
            ("", "1000", Ok("1000"), "1000"),
            ("", "1000:0", Ok("1000:0"), "1000:0"),
            ("", "app", Ok("app"), "app"),
            ("1000", "root", Ok("1000:1000"), "1000:1000"),
            ("1000:5", "app", Ok("1000:5"), "1000:5"),
            ("root", "app", Err(Refusal::Root), "0:0"),
            ("0", "", Err(Refusal::Root), "0:0"),
            ("0:1000", "", Err(Refusal::Root), "0:1000"),
        ];
        for (asked, of_image, strictly, openly) in table {
            let spec = JobSpec { user: asked.into(), ..spec() };
            let who = |policy: &Policy| settings(&spec, &image(of_image), policy).map(|s| s.user);
            assert_eq!(who(&strict()), strictly.map(str::to_owned), "job '{asked}', image '{of_image}'");
            assert_eq!(who(&open), Ok(openly.to_owned()), "job '{asked}', image '{of_image}', root allowed");
        }
        let named = JobSpec { user: "app".into(), ..spec() };
        assert!(matches!(settings(&named, &image(""), &strict()), Err(Refusal::User(_))), "no master lets it through");
    }

    /// CVE-2024-40635: a number that is larger than an engine's own becomes 0 there.
    #[test]
    fn uid_overflow() {
        for of_image in ["2147483648", "4294967296", "4294967296:5", "18446744073709551616", "-1", "-4294967296"] {
            let who = settings(&spec(), &image(of_image), &strict()).map(|s| (s.user, s.is_named));
            assert_eq!(who, Ok((NOBODY.to_owned(), false)), "{of_image}");
            let asks = JobSpec { user: of_image.into(), ..spec() };
            assert!(settings(&asks, &image(""), &Policy::new(true, &[])).is_err(), "{of_image}");
        }
        assert_eq!(settings(&spec(), &image("2147483647"), &strict()).unwrap().user, "2147483647");
    }

    #[test]
    fn a_name_that_only_the_image_knows_is_looked_up() {
        let is_named = |spec: &JobSpec, user: &str| settings(spec, &image(user), &strict()).map(|s| s.is_named);
        for (user, named) in
            [("app", true), ("app:staff", true), ("1000", false), ("1000:staff", false), ("root", false)]
        {
            assert_eq!(is_named(&spec(), user), Ok(named), "{user}");
        }
        assert_eq!(is_named(&JobSpec { user: "5".into(), ..spec() }, "app"), Ok(false), "the job has said a number");
        assert_eq!(named("app", Known::Other), Ok(()));
        let says = |known| named("app", known).unwrap_err().to_string();
        assert!(says(Known::Root).contains("another name") && says(Known::Untold).contains("cannot be told"));
        for target in ["/etc", "/etc/", "/etc/passwd"] {
            let mount = Mount { source: "/x".into(), target: target.into(), write: false };
            let hides = JobSpec { mounts: vec![mount], ..spec() };
            assert_eq!(is_named(&hides, "app"), Err(Refusal::Untold("app".into())), "{target}");
            assert_eq!(is_named(&hides, "1000"), Ok(false));
        }
        let beside =
            JobSpec { mounts: vec![Mount { source: "/x".into(), target: "/etc/x".into(), write: false }], ..spec() };
        assert_eq!(is_named(&beside, "app"), Ok(true));
    }

    #[test]
    fn which_network_it_gets() {
        let of = |asked: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|n| (*n).to_owned()).collect();
            let spec = JobSpec { network: asked.into(), ..spec() };
            settings(&spec, &image(""), &Policy::new(false, &allowed)).map(|s| s.network)
        };
        let mode = |name: &str| Ok(Network::Mode(name.to_owned()));
        assert_eq!(
            (of("", &[]), of("default", &[]), of("none", &[])),
            (Ok(Network::Own), Ok(Network::Own), mode("none"))
        );
        assert_eq!((of("", &["none", "lab"]), of("lab", &["none", "lab"])), (mode("none"), mode("lab")));
        assert_eq!(of("bridge", &["bridge"]), mode("bridge"));
        for (asked, allowed) in
            [("lab", &[][..]), ("default", &["none"][..]), ("bridge", &["default"][..]), ("host", &["host"][..])]
        {
            let refusal = of(asked, allowed).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("'{asked}'")) && refusal.contains("lists others in networks"),
                "{refusal}"
            );
        }
        assert!(of("container:abc", &["container:abc"]).is_err(), "whatever the operator lists");
    }

    #[test]
    fn which_volumes_it_gets() {
        let share = |text| Share::parse(text).unwrap();
        let strict = Policy::new(false, &[]).with_volumes(false, vec![]);
        let open = Policy::new(false, &[]).with_volumes(true, vec![share("nas:/export/a")]);
        let asks = |policy: &Policy, namespace: &str, volume: Volume| {
            let spec = JobSpec { volumes: vec![volume], namespace: namespace.into(), ..spec() };
            settings(&spec, &image(""), policy).map(|s| s.in_memory)
        };
        let named = || Volume { name: "cache".into(), target: "/c".into(), ..Volume::default() };
        let nfs = |path: &str| Volume {
            kind: VolumeKind::Nfs as i32,
            target: "/n".into(),
            server: "nas".into(),
            path: path.into(),
            ..Volume::default()
        };
        let tmpfs = |target: &str| Volume {
            kind: VolumeKind::Tmpfs as i32,
            target: target.into(),
            size_bytes: 1,
            ..Volume::default()
        };
        assert_eq!(asks(&open, "default", named()), Ok(vec!["/tmp".to_owned()]));
        assert_eq!(asks(&strict, "default", named()), Err(Refusal::NamedVolume("cache".into())));
        assert!(
            matches!(asks(&open, "../x", named()), Err(Refusal::Volume(_))),
            "whatever the masters have let through"
        );
        assert!(matches!(asks(&open, "default", Volume { name: "a/b".into(), ..named() }), Err(Refusal::Volume(_))));
        assert!(asks(&open, "", nfs("/export/a/b")).is_ok());
        for (policy, path) in [(&open, "/export"), (&open, "/export/ab"), (&strict, "/export/a")] {
            assert!(matches!(asks(policy, "", nfs(path)), Err(Refusal::Share { .. })), "{path}");
        }
        assert_eq!(asks(&strict, "", tmpfs("/tmp/")), Ok(vec![]), "it is its scratch, in another size");
        assert_eq!(asks(&strict, "", tmpfs("/t")), Ok(vec!["/tmp".to_owned()]));
    }

    #[test]
    fn where_it_may_write() {
        let volumes = vec!["/data/".to_owned(), "/tmp".to_owned(), "/cache".to_owned()];
        let image = Image { volumes, ..image("") };
        let resources = Resources { storage_bytes: 1, ..Default::default() };
        let mounted = vec![Mount { source: "/x".into(), target: "/cache//".into(), write: false }];
        let none = settings(&JobSpec { mounts: mounted.clone(), ..spec() }, &image, &strict()).unwrap();
        assert_eq!((none.on_disk.len(), none.in_memory), (0, vec!["/tmp".to_owned(), "/data".to_owned()]));
        assert!(!none.writable_root);
        let some = settings(&JobSpec { resources, mounts: mounted, ..spec() }, &image, &strict()).unwrap();
        assert_eq!((some.on_disk, some.in_memory.len()), (vec!["/tmp".to_owned()], 0), "its volumes are the engine's");
        let over = vec![Mount { source: "/x".into(), target: "/tmp".into(), write: false }];
        let own = settings(&JobSpec { resources, mounts: over, ..spec() }, &image, &strict()).unwrap();
        assert_eq!((own.on_disk.len(), own.in_memory.len()), (0, 0), "the job has mounted something there");
        let outputs = Image { volumes: vec!["/cloudai/out".to_owned()], ..Image::default() };
        let stores = JobSpec { results: true, ..spec() };
        assert_eq!(settings(&stores, &outputs, &strict()).unwrap().in_memory, ["/tmp"], "its folder is the worker's");
        assert_eq!(settings(&spec(), &outputs, &strict()).unwrap().in_memory, ["/tmp", "/cloudai/out"]);
        let asks = JobSpec { writable_root: true, resources, ..spec() };
        assert!(settings(&asks, &image, &strict()).unwrap().writable_root);
        let many = Image { volumes: (0..100).map(|n| format!("/v{n}")).collect(), ..image };
        assert_eq!(settings(&spec(), &many, &strict()), Err(Refusal::Volumes(101)));
        assert!(settings(&JobSpec { resources, ..spec() }, &many, &strict()).is_ok());
    }

    proptest! {
        /// Whatever jobs and images write: an engine reads no root in it, unless that was asked for and is allowed.
        #[test]
        fn nobody_is_root_unless_asked_and_allowed(
            asked in "(|root|[+-]?[0-9]{1,12}(:[0-9]{1,3})?|[a-z]{1,4})",
            of_image in "( ?[+-]?[0-9]{0,22}(:[a-z0-9]{0,3})?|root(:0)?|[a-z]{1,4})",
            allow_root in any::<bool>(),
        ) {
            let spec = JobSpec { user: asked.clone(), ..spec() };
            if let Ok(s) = settings(&spec, &image(&of_image), &Policy::new(allow_root, &[])) {
                let name = s.user.split(':').next().unwrap_or_default().trim();
                let number = name.parse::<i128>().ok();
                let is_root = name.is_empty() || name == "root" || number.is_some_and(|n| !(1..=i128::from(i32::MAX)).contains(&n));
                let is_asked = asked == "root" || asked.split(':').next().is_some_and(|u| u.parse() == Ok(0u64));
                prop_assert!(!is_root || (allow_root && is_asked), "job '{}', image '{}': {}", asked, of_image, s.user);
            }
        }
    }

    #[test]
    fn whom_the_image_does_not_know_lives_in_the_scratch() {
        assert_eq!(settings(&spec(), &image(""), &strict()).unwrap().home, Some("/tmp"));
        assert_eq!(settings(&spec(), &image("app"), &strict()).unwrap().home, None);
        let told = JobSpec { env: [("HOME".to_owned(), "/x".to_owned())].into(), ..spec() };
        assert_eq!(settings(&told, &image(""), &strict()).unwrap().home, None);
    }
}
