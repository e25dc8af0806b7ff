//! Secrets as jobs name them. Comes in: what a spec, a flag or a user says. Goes out: a checked name, and where a task finds the value. No
//! value is ever here: a spec holds names only.

use std::str::FromStr;

use crate::spec::{JobSpec, check_name};
use crate::{image, limits};

/// Where a task finds its secrets as files.
pub const DIR: &str = "/run/secrets";

/// What a stored secret is for. The numbers are persisted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum SecretKind {
    /// Bytes for tasks that name it.
    Value = 0,
    /// Who may pull from a registry of images; its name is the registry's host.
    RegistryLogin = 1,
}

impl SecretKind {
    /// Whether a secret of this kind may be called so.
    pub fn check_name(self, name: &str) -> Result<(), String> {
        match self {
            SecretKind::Value => check_name(name),
            SecretKind::RegistryLogin => check_registry_host(name),
        }
    }
}

/// One secret that each task of a job gets, as a variable or as a file.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct SecretUse {
    /// Of the job's own namespace.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The variable that holds it; empty: it is a file.
    #[prost(string, tag = "2")]
    pub env: String,
    /// Its name below [`DIR`]. Empty, and no variable named: the secret's own name.
    #[prost(string, tag = "3")]
    pub file: String,
}

impl SecretUse {
    /// With the file that it is when nothing is said.
    pub(crate) fn complete(&mut self) {
        if self.env.is_empty() && self.file.is_empty() {
            self.file.clone_from(&self.name);
        }
    }
}

/// `NAME`, `NAME=env:VARIABLE` or `NAME=file:FILE`.
impl FromStr for SecretUse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no secret: write NAME, NAME=env:VARIABLE or NAME=file:FILE");
        let (name, place) = text.split_once('=').map_or((text, None), |(name, place)| (name, Some(place)));
        let mut used = SecretUse { name: name.to_owned(), ..SecretUse::default() };
        match place.map(|place| place.split_once(':')) {
            None => used.complete(),
            Some(Some(("env", variable))) if !variable.is_empty() => used.env = variable.to_owned(),
            Some(Some(("file", file))) if !file.is_empty() => {
                used.file = file.strip_prefix(DIR).and_then(|rest| rest.strip_prefix('/')).unwrap_or(file).to_owned();
            }
            Some(_) => return Err(wrong()),
        }
        check_name(name).map_err(|problem| format!("{}; the name {problem}", wrong()))?;
        Ok(used)
    }
}

/// `NAME`, `NAME=env:VARIABLE` or `NAME=file:FILE`, as it is read.
impl std::fmt::Display for SecretUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.env.as_str(), self.file.as_str()) {
            ("", file) if file.is_empty() || file == self.name => f.write_str(&self.name),
            ("", file) => write!(f, "{}=file:{file}", self.name),
            (variable, _) => write!(f, "{}=env:{variable}", self.name),
        }
    }
}

/// Only for a spec that uses secrets: what an older format let in must still be let in.
pub(crate) fn check(spec: &JobSpec, fault: &mut impl FnMut(&'static str, String)) {
    if spec.secrets.len() > limits::SECRETS_OF_JOB_MAX {
        let most = limits::SECRETS_OF_JOB_MAX;
        return fault("secrets", format!("has {} entries; {most} are allowed", spec.secrets.len()));
    }
    for (n, used) in spec.secrets.iter().enumerate() {
        if let Err(problem) = check_name(&used.name) {
            fault("secrets", format!("the name '{}' {problem}", used.name));
        }
        match (used.env.as_str(), used.file.as_str()) {
            ("", "") => fault("secrets", format!("{} is neither a variable nor a file", used.name)),
            (variable, "") => {
                if let Err(problem) = check_variable(variable) {
                    fault("secrets", format!("{}: the variable '{variable}' {problem}", used.name));
                } else if spec.env.contains_key(variable) {
                    fault("secrets", format!("{}: the variable {variable} is set by env already", used.name));
                }
            }
            ("", file) => {
                if let Err(problem) = check_name(file) {
                    fault("secrets", format!("{}: the file '{file}' {problem}", used.name));
                }
            }
            _ => fault("secrets", format!("{} is a variable and a file; name it twice for both", used.name)),
        }
        if spec.secrets[..n].iter().any(|other| (&other.env, &other.file) == (&used.env, &used.file)) {
            fault("secrets", format!("{}: another secret is there already", used));
        }
    }
    let is_ours = |target: &str| {
        let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        parts == ["run"] || parts.starts_with(&["run", "secrets"])
    };
    if let Some(m) = spec.mounts.iter().find(|m| is_ours(&m.target)) {
        fault("mounts", format!("'{}' lies where secrets are ({DIR})", m.target));
    }
}

/// What shells take for a name; and none of ours.
fn check_variable(name: &str) -> Result<(), String> {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if name.len() > limits::NAME_BYTES_MAX
        || !name.bytes().all(is_word)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("is no name: letters, digits and '_' are allowed, at most {}", limits::NAME_BYTES_MAX));
    }
    if name.starts_with("CLOUDAI_") {
        return Err("is one of those that CloudAI sets itself".to_owned());
    }
    Ok(())
}

/// `registry.example`, `localhost:5000`, `[::1]:5000`: a host as image names have it.
pub fn check_registry_host(host: &str) -> Result<(), String> {
    if host.is_empty() || host.len() > limits::REGISTRY_HOST_BYTES_MAX {
        return Err(format!("has {} characters; 1 to {} are allowed", host.len(), limits::REGISTRY_HOST_BYTES_MAX));
    }
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if let Some(c) = host.chars().find(|c| !known(*c)) {
        return Err(format!("contains {c:?}; write HOST or HOST:PORT in small letters, without https:// and a path"));
    }
    if image::registry_host(&format!("{host}/image")) != host {
        return Err("is no host: image names would not lead to it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Mount, ValidJobSpec};

    fn uses(texts: &[&str]) -> JobSpec {
        let secrets = texts.iter().map(|text| text.parse().expect("a secret")).collect();
        JobSpec { image: "i".into(), secrets, ..JobSpec::default() }
    }

    fn told(spec: JobSpec) -> Vec<String> {
        let parsed = ValidJobSpec::parse(spec);
        parsed.err().map_or(vec![], |e| e.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["token", "token=env:TOKEN", "token=file:key.pem"] {
            assert_eq!(text.parse::<SecretUse>().expect("a secret").to_string(), text);
        }
        let whole: SecretUse = "token=file:/run/secrets/a".parse().expect("a secret");
        assert_eq!((whole.file.as_str(), whole.env.as_str()), ("a", ""));
        assert_eq!("token=file:token".parse::<SecretUse>().expect("a secret").to_string(), "token");
        for bad in ["", "=env:A", "a=", "a=b", "a=env:", "a=file:", "a=var:B", "a b", "a/b=env:C"] {
            assert!(bad.parse::<SecretUse>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_secret_may_be_a_variable_and_a_file_and_no_place_is_taken_twice() {
        let none: [&str; 0] = [];
        assert_eq!(told(uses(&["a", "a=env:A", "b=file:c"])), none);
        assert!(told(uses(&["a", "b=file:a"]))[0].contains("already"));
        assert!(told(uses(&["a=env:A", "b=env:A"]))[0].contains("already"));
        assert!(told(uses(&["a=env:1A"]))[0].contains("no name"));
        assert!(told(uses(&["a=env:CLOUDAI_JOB"]))[0].contains("CloudAI"));
        assert!(told(uses(&["a=file:../a"]))[0].contains("file"));
        assert!(told(uses(&["a=file:.a"]))[0].contains("file"));
        assert!(told(uses(&vec!["a"; limits::SECRETS_OF_JOB_MAX + 1]))[0].contains("entries"));
        let mut both = uses(&["a"]);
        both.secrets[0].env = "A".into();
        assert!(told(both)[0].contains("twice"));
        let env = [("A".to_owned(), "1".to_owned())].into();
        assert!(told(JobSpec { env, ..uses(&["a=env:A"]) })[0].contains("env already"));
    }

    #[test]
    fn no_mount_lies_where_secrets_are() {
        let mount = |target: &str| vec![Mount { source: "/a".into(), target: target.into(), write: false }];
        for target in ["/run/secrets", "//run/./secrets/x", "/run"] {
            assert!(told(JobSpec { mounts: mount(target), ..uses(&["a"]) })[0].contains("secrets are"), "{target}");
            assert!(told(JobSpec { mounts: mount(target), ..uses(&[]) }).is_empty(), "as before there were secrets");
        }
        assert!(told(JobSpec { mounts: mount("/run/secrets-of-mine"), ..uses(&["a"]) }).is_empty());
    }

    #[test]
    fn an_image_leads_to_its_registry() {
        for (image, host) in [
            ("busybox", "docker.io"),
            ("team/app:1", "docker.io"),
            ("docker.io/team/app", "docker.io"),
            ("localhost/app", "localhost"),
            ("reg:5000/team/app:1", "reg:5000"),
            ("reg.example/app@sha256:0", "reg.example"),
        ] {
            assert_eq!(image::registry_host(image), host, "{image}");
            assert_eq!(check_registry_host(host), Ok(()), "{host}");
        }
        for bad in
            ["", "reg", "https://reg.example", "reg.example/team", "REG.example", "a b.c", "x".repeat(300).as_str()]
        {
            assert!(check_registry_host(bad).is_err(), "{bad}");
        }
    }
}
