//! Volumes as people write them. Comes in: `NAME:/TARGET[:ro]` and `/TARGET:SIZE` of flags, and the entries of `volumes:` in a job file.
//! Goes out: [`Volume`]s, whose rules the spec's own check knows.

use std::fmt;

use cloudai_types::resources::parse_size;
use cloudai_types::spec::check_name;
use cloudai_types::volume::{Volume, VolumeKind};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// `cache:/cache`, `cache:/cache:ro`: a named volume.
pub fn parse_named(text: &str) -> Result<Volume, String> {
    let (bare, read_only) = match text.strip_suffix(":ro") {
        Some(bare) => (bare, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    match bare.split_once(':') {
        Some((name, target)) if check_name(name).is_ok() && target.starts_with('/') && !target.contains(':') => {
            Ok(Volume { name: name.to_owned(), target: target.to_owned(), read_only, ..Volume::default() })
        }
        Some(_) | None => Err(format!("'{text}' is no volume: write NAME:/TARGET or NAME:/TARGET:ro")),
    }
}

/// `/fast:64m`: a folder in memory.
pub fn parse_tmpfs(text: &str) -> Result<Volume, String> {
    let wrong = || format!("'{text}' is no folder in memory: write /TARGET:SIZE, for example /fast:64m");
    let (target, size) = text.rsplit_once(':').ok_or_else(wrong)?;
    let size_bytes = parse_size(size).map_err(|e| e.to_string())?;
    let kind = VolumeKind::Tmpfs as i32;
    if target.starts_with('/') {
        Ok(Volume { kind, target: target.to_owned(), size_bytes, ..Volume::default() })
    } else {
        Err(wrong())
    }
}

/// `nas.lan:/export/a`, `[fd00::1]:/export`.
fn parse_share(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("'{text}' is no share of a server: write SERVER:/PATH");
    let (server, path) = text.split_once(":/").ok_or_else(wrong)?;
    let server = server.strip_prefix('[').and_then(|s| s.strip_suffix(']')).unwrap_or(server);
    if server.is_empty() { Err(wrong()) } else { Ok((server.to_owned(), format!("/{path}"))) }
}

/// One entry of `volumes:`.
#[derive(Debug)]
pub struct VolumeEntry(pub Volume);

/// The same as a table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    name: Option<String>,
    nfs: Option<String>,
    tmpfs: Option<String>,
    target: String,
    read_only: bool,
    options: String,
}

impl Fields {
    fn into_volume(self) -> Result<Volume, String> {
        let Fields { name, nfs, tmpfs, target, read_only, options } = self;
        let plain = Volume { target, read_only, options, ..Volume::default() };
        match (name, nfs, tmpfs) {
            (Some(name), None, None) => Ok(Volume { name, ..plain }),
            (None, Some(share), None) => {
                let (server, path) = parse_share(&share)?;
                Ok(Volume { kind: VolumeKind::Nfs as i32, server, path, ..plain })
            }
            (None, None, Some(size)) => {
                let size_bytes = parse_size(&size).map_err(|e| e.to_string())?;
                Ok(Volume { kind: VolumeKind::Tmpfs as i32, size_bytes, ..plain })
            }
            _ => Err("a volume has exactly one of name, nfs and tmpfs".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for VolumeEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = VolumeEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume such as cache:/cache, or {nfs: \"SERVER:/PATH\", target: /data}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<VolumeEntry, E> {
                parse_named(s).map(VolumeEntry).map_err(E::custom)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<VolumeEntry, M::Error> {
                let fields = Fields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                fields.into_volume().map(VolumeEntry).map_err(de::Error::custom)
            }
        }
        d.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(text: &str) -> Result<Vec<Volume>, String> {
        let spec = crate::input::job_file::parse(&format!("image: x\nvolumes:\n{text}"))?.spec;
        Ok(spec.volumes)
    }

    #[test]
    fn a_text_is_a_named_volume_and_a_table_says_which_kind() {
        let volumes = entries(
            "  - cache:/cache\n  - models:/models:ro\n  - {nfs: \"nas:/export/a\", target: /in, read_only: true, options: \"vers=3,nolock\"}\n  - {tmpfs: 64m, target: /fast}\n  - {name: cache, target: /c}\n",
        )
        .unwrap();
        let told: Vec<_> = volumes.iter().map(|v| (v.kind, v.name.as_str(), v.target.as_str(), v.read_only)).collect();
        let (named, nfs, tmpfs) = (VolumeKind::Named as i32, VolumeKind::Nfs as i32, VolumeKind::Tmpfs as i32);
        assert_eq!(
            told,
            [
                (named, "cache", "/cache", false),
                (named, "models", "/models", true),
                (nfs, "", "/in", true),
                (tmpfs, "", "/fast", false),
                (named, "cache", "/c", false),
            ]
        );
        assert_eq!((volumes[2].server.as_str(), volumes[2].path.as_str()), ("nas", "/export/a"));
        assert_eq!((volumes[2].options.as_str(), volumes[3].size_bytes), ("vers=3,nolock", 64 << 20));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("  - nowhere\n", "NAME:/TARGET"),
            ("  - a:b\n", "NAME:/TARGET"),
            ("  - {target: /x}\n", "exactly one"),
            ("  - {name: a, tmpfs: 1m, target: /x}\n", "exactly one"),
            ("  - {nfs: nas, target: /x}\n", "SERVER:/PATH"),
            ("  - {tmpfs: lots, target: /x}\n", "lots"),
            ("  - {name: a, taget: /x}\n", "taget"),
        ] {
            let told = entries(text).unwrap_err();
            assert!(told.contains(says), "{text} → {told}");
        }
        for bad in ["/fast", "fast:1m", "/fast:big"] {
            assert!(parse_tmpfs(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (parse_named(&text), parse_tmpfs(&text), parse_share(&text));
        }
    }
}
