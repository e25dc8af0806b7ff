//! Where an image lies. Comes in: its name. Goes out: host, repository and tag, each fit to become part of an address. Pure.

use cloudai_types::image;

/// Where it answers.
const HUB_ANSWERS_AT: &str = "registry-1.docker.io";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// `HOST[:PORT]`, where it answers.
    pub host: String,
    pub repository: String,
    pub tag: String,
}

impl Place {
    /// `None`: no registry has an image of such a name.
    pub fn of(name: &str) -> Option<Place> {
        let host = image::registry_host(name);
        let path = match image::registry_of(name) {
            Some(registry) => name.get(registry.len() + 1..)?,
            None => name,
        };
        let (path, tag) = (image::without_tag(path), image::tag_of(path));
        let is_path = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let is_part = |part: &str| part.bytes().all(is_path) && part.starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_tag = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        let fits = path.split('/').all(is_part)
            && tag.bytes().all(is_tag)
            && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && host.bytes().all(is_host);
        if !fits {
            return None;
        }
        let is_hub = host == image::DOCKER_HUB;
        let repository = if is_hub && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let host = if is_hub { HUB_ANSWERS_AT } else { host };
        Some(Place { host: host.to_owned(), repository, tag: tag.to_owned() })
    }
}

/// This very machine: what is said to it in the clear, nobody else hears.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Option<(String, String, String)> {
        Place::of(name).map(|p| (p.host, p.repository, p.tag))
    }

    #[test]
    fn names_are_places() {
        let is = |host: &str, repository: &str, tag: &str| Some((host.into(), repository.into(), tag.into()));
        assert_eq!(place("busybox"), is("registry-1.docker.io", "library/busybox", "latest"));
        assert_eq!(place("team/x:1"), is("registry-1.docker.io", "team/x", "1"));
        assert_eq!(place("docker.io/busybox:1"), is("registry-1.docker.io", "library/busybox", "1"));
        assert_eq!(place("127.0.0.1:5000/x"), is("127.0.0.1:5000", "x", "latest"));
        assert_eq!(place("ghcr.io/a/b/c:v1.2_x"), is("ghcr.io", "a/b/c", "v1.2_x"));
        for wrong in [
            "",
            "reg.io/",
            "reg.io/..",
            "reg.io/a/../b",
            "reg.io//a",
            "reg.io/A",
            "reg.io/a?x",
            "reg.io/a:",
            "reg.io/a:-",
            "reg.io/a:b/c",
            "u@reg.io/a",
            "re$g.io/a",
            "reg.io/a b",
            "reg.io/a%2e",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_name_and_number() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:5000", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["reg:5000", "10.0.0.1", "127.0.0.1.evil.example", "localhost.example", "[::2]:5000", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
