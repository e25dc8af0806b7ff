//! The secrets of an attempt as its container gets them: files below `/run/secrets` from a folder in memory, and variables. Comes in: what the
//! masters gave, and what the spec says about it. Goes out: a mount, files, variables; or why the attempt cannot start.

use std::fmt;

use bollard::models::{Mount, MountType};
use cloudai_types::{AttemptId, EndReason, JobSpec, ReasonKind, RegistryLogin, secrets};
use zeroize::Zeroizing;

use super::{Shared, Start, labels};
use crate::secrets::{Secrets, Wanted};

#[derive(Default)]
pub struct Given {
    files: Vec<(String, Zeroizing<Vec<u8>>)>,
    pub variables: Vec<(String, Zeroizing<String>)>,
}

/// Waits for the masters. Nothing is asked for a spec that names none.
pub async fn fetch(shared: &Shared, start: &Start) -> Result<Given, EndReason> {
    if start.spec.secrets.is_empty() {
        return Ok(Given::default());
    }
    let fetched = shared.options.secrets.fetch(start.attempt, Wanted::Values).await?;
    given(&start.spec, &fetched).map_err(|why| EndReason::new(ReasonKind::StartFailed, why))
}

/// Who may pull the attempt's image, as its namespace has stored it. Masters that do not say so are no reason not to pull: this worker may have a
/// login of its own, and most images need none.
pub async fn login(shared: &Shared, attempt: AttemptId) -> Option<RegistryLogin> {
    match shared.options.secrets.fetch(attempt, Wanted::Login).await {
        Ok(fetched) => fetched.login,
        Err(reason) => {
            tracing::warn!(%attempt, %reason, "no master says who may pull the image; it is pulled without a stored login");
            None
        }
    }
}

/// Each secret where the spec wants it.
fn given(spec: &JobSpec, fetched: &Secrets) -> Result<Given, String> {
    let failed = |name: &str, why: &str| format!("the secret '{name}' {why}");
    let mut given = Given::default();
    for used in &spec.secrets {
        let value = fetched.values.get(&used.name).ok_or_else(|| failed(&used.name, "was not given by the master"))?;
        if used.env.is_empty() {
            given.files.push((used.file.clone(), value.clone()));
            continue;
        }
        match std::str::from_utf8(value) {
            Ok(text) if !text.contains('\0') => {
                given.variables.push((used.env.clone(), Zeroizing::new(text.to_owned())));
            }
            Ok(_) | Err(_) => {
                return Err(failed(&used.name, "is no text, so it cannot be a variable; use it as a file"));
            }
        }
    }
    Ok(given)
}

impl Given {
    /// The folder need not be there yet.
    pub fn mount(&self, shared: &Shared, attempt: AttemptId) -> Result<Option<Mount>, String> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let folder = shared.options.secret_files.folder(&labels::cgroup_name(attempt));
        let source =
            folder.to_str().ok_or("secrets_dir has a name that is not UTF-8, so the engine cannot mount it")?;
        Ok(Some(Mount {
            target: Some(secrets::DIR.to_owned()),
            source: Some(source.to_owned()),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            ..Default::default()
        }))
    }

    /// Writes the files for the user that the container will have.
    pub fn place(&self, shared: &Shared, attempt: AttemptId, user: &str) -> Result<(), String> {
        if self.files.is_empty() {
            return Ok(());
        }
        let owner = if shared.engine.maps_users { None } else { owner_of(user) };
        let placed = shared.options.secret_files.place(&labels::cgroup_name(attempt), &self.files, owner);
        placed.map_err(|e| format!("its secrets cannot be placed: {e}"))
    }
}

/// `None`: the image calls its user by a name, and what number that is only the engine finds out.
fn owner_of(user: &str) -> Option<u32> {
    user.split(':').next()?.parse().ok()
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        let variables: Vec<&str> = self.variables.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Given").field("files", &files).field("variables", &variables).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(values: &[(&str, &[u8])]) -> Secrets {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.to_vec())));
        Secrets { values: values.collect(), login: None }
    }

    fn spec(uses: &[&str]) -> JobSpec {
        let secrets = uses.iter().map(|text| text.parse().unwrap()).collect();
        JobSpec { image: "i".into(), secrets, ..JobSpec::default() }
    }

    #[test]
    fn each_is_where_the_spec_wants_it_and_nothing_is_printed() {
        let fetched = fetched(&[("a", b"canary"), ("b", &[0xff, 0])]);
        let given_ = given(&spec(&["a", "a=env:A", "b=file:raw"]), &fetched).unwrap();
        let files: Vec<_> = given_.files.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(files, [("a", &b"canary"[..]), ("raw", &[0xff, 0][..])]);
        assert_eq!((given_.variables[0].0.as_str(), given_.variables[0].1.as_str()), ("A", "canary"));
        assert!(!format!("{given_:?}").contains("canary"));
    }

    #[test]
    fn what_cannot_be_given_says_why_and_not_what() {
        let fetched = fetched(&[("b", b"can\0ary")]);
        let why = given(&spec(&["b=env:B"]), &fetched).unwrap_err();
        assert!(why.contains("no text") && !why.contains("ary;"), "{why}");
        let why = given(&spec(&["c"]), &fetched).unwrap_err();
        assert_eq!(why, "the secret 'c' was not given by the master");
    }

    #[test]
    fn a_number_owns_its_files() {
        assert_eq!((owner_of("1000"), owner_of("1000:7"), owner_of("0:0")), (Some(1000), Some(1000), Some(0)));
        assert_eq!((owner_of("app"), owner_of(""), owner_of("app:7")), (None, None, None));
    }
}
