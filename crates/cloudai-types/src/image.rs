//! The name of an image, as far as others than its registry understand it. Comes in: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, as a user wrote it.
//! Goes out: its parts, and the name of exactly one content. Asks nobody, and does not know whether there is such an image.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// `sha256:` and 64 hexadecimal digits: the name of a content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(String);

/// What is not the digest of an image.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is no digest: 'sha256:' and 64 hexadecimal digits in lower case are expected")]
pub struct NoDigest;

impl Digest {
    pub const BYTES: usize = "sha256:".len() + 64;

    pub fn parse(text: &str) -> Result<Self, NoDigest> {
        let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.strip_prefix("sha256:").is_some_and(is_hex) { Ok(Digest(text.to_owned())) } else { Err(NoDigest) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The registry that a name mentions: its first part, where that has a '.' or a ':' or is `localhost`. A short name mentions none: it is one
/// of Docker Hub, or one that is only on the workers.
pub fn registry_of(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
}

/// The registry of images that name none, as people and logins call it.
pub const DOCKER_HUB: &str = "docker.io";

/// The registry that a name leads to, as engines read it.
pub fn registry_host(image: &str) -> &str {
    registry_of(image).unwrap_or(DOCKER_HUB)
}

/// It names one content for ever, not a tag that may move.
pub fn has_digest(image: &str) -> bool {
    image.contains('@')
}

/// The name without tag and digest.
pub fn without_tag(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

/// The tag that a name without digest means; `latest` where it says none.
pub fn tag_of(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    name[without_tag(name).len()..].strip_prefix(':').unwrap_or("latest")
}

/// What is run: the content that was found when the job was submitted, or what the name means now.
pub fn pinned(image: &str, digest: &str) -> String {
    if digest.is_empty() { image.to_owned() } else { format!("{}@{digest}", without_tag(image)) }
}

/// By this the image of a job is compared with those that workers hold: of a content its digest, of anything else the name with its tag.
/// Never 0, and of 16 bits only, because a million jobs wait in memory: two images may share one, so it may decide what is better and never
/// what is right.
pub fn fingerprint(image: &str) -> u16 {
    let hash = match image.split_once('@') {
        Some((_, digest)) => xxh3_64(digest.as_bytes()),
        None => xxh3_64(format!("{}:{}", without_tag(image), tag_of(image)).as_bytes()),
    };
    // The lowest bits are as good as any others.
    (hash as u16).max(1)
}

/// `43 %, 120 MB/s`: how far a pull is.
pub fn pull_text(bytes: u64, all: u64, bytes_per_second: u64) -> String {
    let percent = u128::from(bytes.min(all)) * 100 / u128::from(all.max(1));
    let (whole, tenths) = (bytes_per_second / 1_000_000, bytes_per_second / 100_000 % 10);
    if whole < 10 { format!("{percent} %, {whole}.{tenths} MB/s") } else { format!("{percent} %, {whole} MB/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_by_a_dot_a_port_or_localhost() {
        for (image, registry) in [
            ("busybox", None),
            ("cloudai/busybox:1", None),
            ("a.b", None),
            ("busybox:5000", None),
            ("reg:5000/team/x:1", Some("reg:5000")),
            ("ghcr.io/x", Some("ghcr.io")),
            ("localhost/x", Some("localhost")),
            ("[::1]:5000/x", Some("[::1]:5000")),
            ("", None),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[test]
    fn one_content_has_one_fingerprint_under_every_name() {
        let digest = format!("@sha256:{}", "0f".repeat(32));
        let of = |name: &str| fingerprint(&format!("{name}{digest}"));
        assert_eq!(of("busybox"), of("reg:5000/mirror/busybox"));
        assert_eq!(fingerprint("busybox"), fingerprint("busybox:latest"));
        let others = [fingerprint("busybox"), fingerprint("busybox:1"), fingerprint("reg/busybox"), of("busybox")];
        assert_eq!(others.iter().collect::<std::collections::BTreeSet<_>>().len(), others.len());
    }

    #[test]
    fn a_pinned_name_has_a_digest_and_no_tag() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (image, name, tag) in [
            ("busybox", "busybox", "latest"),
            ("busybox:1.36", "busybox", "1.36"),
            ("reg:5000/team/x", "reg:5000/team/x", "latest"),
            ("reg:5000/team/x:1", "reg:5000/team/x", "1"),
            ("reg:5000/x:1@sha256:ab", "reg:5000/x", "1"),
        ] {
            assert_eq!((without_tag(image), tag_of(image)), (name, tag), "{image}");
            assert_eq!(pinned(image, &digest), format!("{name}@{digest}"));
            assert_eq!(pinned(image, ""), image);
        }
        assert!(has_digest("x@sha256:ab") && !has_digest("x:1"));
    }

    #[test]
    fn people_read_percent_and_speed() {
        assert_eq!(pull_text(0, 0, 0), "0 %, 0.0 MB/s");
        assert_eq!(pull_text(43_000_000, 100_000_000, 120_000_000), "43 %, 120 MB/s");
        assert_eq!(pull_text(43, 100, 1_290_000), "43 %, 1.2 MB/s");
        assert_eq!(pull_text(u64::MAX, u64::MAX, u64::MAX), "100 %, 18446744073709 MB/s");
    }

    #[test]
    fn a_digest_has_one_form() {
        let right = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(Digest::parse(&right).unwrap().as_str(), right);
        let long = format!("{right}0");
        for wrong in ["", "sha256:", "sha256:0f", &long, &right.to_uppercase(), &right.replace("sha256", "sha512")] {
            assert_eq!(Digest::parse(wrong), Err(NoDigest), "{wrong}");
        }
    }
}
