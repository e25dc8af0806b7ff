//! Where the masters are and who we are. Comes in: flags (clap has overlaid the environment), a settings file. Goes out: effective values;
//! flag over environment over file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cloudai_client::{Client, ClientOptions};
use cloudai_proto::v1::Consistency;
use cloudai_types::limits;
use serde::Deserialize;

use crate::exit::Failure;
use crate::output::Format;

/// Flags that every command takes, before or after its words.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GlobalFlags {
    /// Masters' gRPC addresses, HOST:PORT with commas between
    #[arg(
        long,
        global = true,
        env = "CLOUDAI_ADDR",
        value_delimiter = ',',
        value_name = "HOST:PORT,…",
        help_heading = "Connection"
    )]
    pub addr: Vec<String>,
    /// Directory with key.pem, cert.pem and ca.pem
    #[arg(long, global = true, env = "CLOUDAI_IDENTITY", value_name = "DIR", help_heading = "Connection")]
    pub identity: Option<PathBuf>,
    /// CA certificates, when they are not in the identity directory
    #[arg(
        long,
        global = true,
        env = "CLOUDAI_CACERT",
        value_name = "FILE",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub cacert: Option<PathBuf>,
    /// Client certificate, together with --client-key and --cacert
    #[arg(
        long,
        global = true,
        env = "CLOUDAI_CLIENT_CERT",
        value_name = "FILE",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub client_cert: Option<PathBuf>,
    /// Client key; readable by its owner only
    #[arg(
        long,
        global = true,
        env = "CLOUDAI_CLIENT_KEY",
        value_name = "FILE",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub client_key: Option<PathBuf>,
    /// How long a request goes from master to master before it gives up
    #[arg(long, global = true, env = "CLOUDAI_RETRY", value_parser = crate::times::parse_duration, value_name = "DURATION", help_heading = "Connection", hide_short_help = true)]
    pub retry: Option<Duration>,
    /// Collector of traces (OTLP over gRPC), such as http://127.0.0.1:4317; without it nothing is traced
    #[arg(
        long,
        global = true,
        env = "CLOUDAI_OTLP_ENDPOINT",
        value_name = "URL",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub otlp: Option<String>,
    /// Namespace of the jobs; `*` in lists: all
    #[arg(long, short = 'n', global = true, env = "CLOUDAI_NAMESPACE", help_heading = "Common")]
    pub namespace: Option<String>,
    /// How data is printed
    #[arg(long, short = 'o', global = true, env = "CLOUDAI_OUTPUT", value_enum, help_heading = "Common")]
    pub output: Option<Format>,
    /// Reads: everything acknowledged so far, or what one master knows now
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "linearizable|stale",
        help_heading = "Common",
        hide_possible_values = true
    )]
    pub consistency: Option<ConsistencyFlag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConsistencyFlag {
    Linearizable,
    Stale,
}

/// The settings file: `$CLOUDAI_CONFIG`, else `~/.config/cloudai/config.toml`, else `/etc/cloudai/config.toml`.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsFile {
    pub addr: Vec<String>,
    pub identity: Option<PathBuf>,
    pub namespace: Option<String>,
    pub output: Option<String>,
    pub otlp: Option<String>,
}

/// Effective values.
#[derive(Debug, Clone)]
pub struct Settings {
    pub addresses: Vec<String>,
    identity: Option<PathBuf>,
    separate: Option<[PathBuf; 3]>,
    retry: Option<Duration>,
    /// Empty: not named anywhere.
    pub namespace: String,
    pub format: Format,
    pub consistency: Consistency,
    /// Where spans go; empty: nowhere.
    pub otlp: String,
}

impl Settings {
    pub fn resolve(flags: &GlobalFlags) -> Result<Settings, Failure> {
        Self::overlay(flags, read_file()?)
    }

    fn overlay(flags: &GlobalFlags, file: SettingsFile) -> Result<Settings, Failure> {
        let format = match (flags.output, &file.output) {
            (Some(f), _) => f,
            (None, Some(text)) => clap::ValueEnum::from_str(text, true).map_err(|_| {
                Failure::invalid(format!(
                    "output = \"{text}\" in the settings file is none of table, json, jsonl, yaml, csv"
                ))
            })?,
            (None, None) => Format::Table,
        };
        let separate = match (&flags.client_key, &flags.client_cert, &flags.cacert) {
            (Some(key), Some(cert), Some(ca)) => Some([key.clone(), cert.clone(), ca.clone()]),
            (None, None, None) => None,
            _ => {
                return Err(Failure::invalid("--client-key, --client-cert and --cacert belong together")
                    .next("give all three, or --identity DIR"));
            }
        };
        let addresses: Vec<String> =
            if flags.addr.iter().any(|a| !a.trim().is_empty()) { flags.addr.clone() } else { file.addr };
        Ok(Settings {
            addresses,
            otlp: flags.otlp.clone().or(file.otlp).unwrap_or_default(),
            identity: flags.identity.clone().or(file.identity),
            separate,
            retry: flags.retry,
            namespace: flags.namespace.clone().or(file.namespace).unwrap_or_default(),
            format,
            consistency: match flags.consistency {
                None | Some(ConsistencyFlag::Linearizable) => Consistency::Linearizable,
                Some(ConsistencyFlag::Stale) => Consistency::Stale,
            },
        })
    }

    pub fn client(&self) -> Result<Client, Failure> {
        self.client_for(self.retry.unwrap_or(limits::CLIENT_RETRY.as_duration()))
    }

    /// One that gives a request up after this long, or earlier if the user said so.
    pub fn client_for(&self, retry_for: Duration) -> Result<Client, Failure> {
        let addresses = self.addresses.clone();
        // The addresses first: without any, a missing identity is not the point.
        if addresses.iter().all(|a| a.trim().is_empty()) {
            return Err(cloudai_client::OpenError::NoAddress.into());
        }
        let gathered = match (&self.identity, &self.separate) {
            (Some(dir), _) => Gathered { dir: dir.clone(), temporary: false },
            (None, Some(files)) => gather(files)?,
            (None, None) => {
                return Err(Failure::new(crate::exit::Code::Auth, "unauthenticated", "no identity is given").next(
                    "set CLOUDAI_IDENTITY to a directory with key.pem, cert.pem and ca.pem, or give --identity DIR",
                ));
            }
        };
        let mut options = ClientOptions::new(addresses, &gathered.dir);
        options.retry_for = self.retry.map_or(retry_for, |retry| retry.min(retry_for));
        Ok(Client::open(&options)?)
    }

    pub fn consistency(&self) -> i32 {
        self.consistency as i32
    }
}

/// Where the three files lie together. A temporary one is removed again: the client has read it.
struct Gathered {
    dir: PathBuf,
    temporary: bool,
}

impl Drop for Gathered {
    fn drop(&mut self) {
        if self.temporary {
            // What stays behind is links, not keys.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Three files from anywhere, linked under their usual names in a directory of the user's own.
fn gather([key, cert, ca]: &[PathBuf; 3]) -> Result<Gathered, Failure> {
    use std::os::unix::fs::{DirBuilderExt, symlink};
    let failed = |e: std::io::Error| Failure::failed("the certificate files cannot be brought together").why(e);
    let dir = std::env::temp_dir().join(format!("cloudai-identity-{}", cloudai_client::request_id()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
    let gathered = Gathered { dir, temporary: true };
    for (from, name) in [(key, "key.pem"), (cert, "cert.pem"), (ca, "ca.pem")] {
        let from = std::path::absolute(from).map_err(failed)?;
        symlink(from, gathered.dir.join(name)).map_err(failed)?;
    }
    Ok(gathered)
}

fn read_file() -> Result<SettingsFile, Failure> {
    let (candidates, required) = match std::env::var_os("CLOUDAI_CONFIG") {
        Some(path) => (vec![PathBuf::from(path)], true),
        None => {
            let home = std::env::var_os("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".config")));
            let user = home.map(|h| h.join("cloudai/config.toml"));
            (user.into_iter().chain([PathBuf::from("/etc/cloudai/config.toml")]).collect(), false)
        }
    };
    for path in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return toml::from_str(&text).map_err(|e| {
                    Failure::invalid(format!("the settings file {} is not valid", path.display()))
                        .why(e.to_string().trim_end())
                });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => {}
            Err(e) => {
                return Err(Failure::invalid(format!("the settings file {} cannot be read", path.display())).why(e));
            }
        }
    }
    Ok(SettingsFile::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_nothing() {
        let file: SettingsFile =
            toml::from_str("addr = [\"a:1\", \"b:2\"]\nidentity = \"/id\"\nnamespace = \"lab\"\noutput = \"json\"\n")
                .unwrap();
        let s = Settings::overlay(&GlobalFlags::default(), file.clone()).unwrap();
        assert_eq!((s.addresses.len(), s.namespace.as_str(), s.format), (2, "lab", Format::Json));
        let flags = GlobalFlags {
            addr: vec!["c:3".into()],
            namespace: Some("x".into()),
            output: Some(Format::Yaml),
            ..Default::default()
        };
        let s = Settings::overlay(&flags, file).unwrap();
        assert_eq!((s.addresses, s.namespace.as_str(), s.format), (vec!["c:3".to_owned()], "x", Format::Yaml));
        assert!(toml::from_str::<SettingsFile>("adr = []").is_err());
    }

    #[test]
    fn half_an_identity_and_none_are_told() {
        let flags = GlobalFlags { cacert: Some("x".into()), ..Default::default() };
        assert_eq!(Settings::overlay(&flags, SettingsFile::default()).unwrap_err().code.number(), 2);
        let none = Settings::overlay(&GlobalFlags::default(), SettingsFile::default()).unwrap();
        assert_eq!(none.client().err().unwrap().code.number(), 6);
        let flags = GlobalFlags { addr: vec!["a:1".into()], ..Default::default() };
        let s = Settings::overlay(&flags, SettingsFile::default()).unwrap();
        assert_eq!(s.client().err().unwrap().code.number(), 4);
    }
}
