//! What an attempt may know. Comes in: an attempt, and the name in a worker's certificate. Goes out: the secrets that the attempt's spec names,
//! or the login at its image's registry; for the worker that holds the attempt now, and for nobody else. Only the leader answers, after a
//! majority has confirmed that it leads: another one might not know that the attempt is somebody else's by now.

use std::collections::BTreeSet;

use cloudai_core::Hot;
use cloudai_core::command::AttemptState;
use cloudai_core::rows::{Family, JobSpecRow, SecretRow, job_key, secret_key};
use cloudai_proto::convert::DEFAULT_NAMESPACE;
use cloudai_proto::v1 as pb;
use cloudai_types::image::registry_host;
use cloudai_types::{AttemptId, JobSpec, NamespaceId, RegistryLogin, SecretKind};
use tonic::Status;

use crate::control::{errors, secrets as stored};
use crate::machine::State;
use crate::node::Node;
use crate::proposer::WriteError;
use crate::sealing::{KeyRing, Place, UnsealError};
use crate::state_store::StateStore;

pub async fn of_attempt<S: StateStore>(
    node: &Node<S>,
    worker: &str,
    request: pb::SecretsRequest,
) -> Result<pb::SecretsReply, Status> {
    let attempt = AttemptId::from(request.attempt.ok_or_else(|| errors::invalid("no attempt is named"))?);
    if node.leading().is_none() {
        return Err(errors::write(&WriteError::NotLeader { leader: node.leader() }));
    }
    node.read_point(pb::Consistency::Linearizable).await?;
    let state = node.shared.read();
    let namespace = held_by(&state.hot, worker, attempt).ok_or_else(|| not_its_own(worker, attempt))?;
    let key = job_key(namespace, attempt.task.job);
    let row = node.shared.row::<JobSpecRow>(&state, Family::JobSpec, &key).map_err(|e| errors::internal(&e))?;
    let spec = row.map(|row| row.spec).unwrap_or_default();
    let name = state.hot.namespaces.iter().find(|(_, id)| **id == namespace).map(|(name, _)| name.as_str());
    let opener = Opener { node, state: &state, namespace, name: name.unwrap_or_default() };
    opener.reply(&spec, request.values, request.login)
}

/// What a namespace has stored for the registry of this image. One that cannot be opened is as good as none: the registry says what it thinks of that.
pub fn stored_login<S: StateStore>(node: &Node<S>, namespace: &str, image: &str) -> Option<RegistryLogin> {
    let state = node.shared.read();
    let namespace = namespace_or_default(namespace);
    let id = state.hot.namespaces.get(namespace).copied()?;
    let opener = Opener { node, state: &state, namespace: id, name: namespace };
    let login = opener.login(registry_host(image)).unwrap_or_else(|status| {
        tracing::warn!(image, namespace, error = status.message(), "a stored login cannot be used");
        None
    })?;
    Some(RegistryLogin { username: login.username, password: login.password })
}

fn namespace_or_default(namespace: &str) -> &str {
    if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace }
}

/// The namespace of the attempt's job, if the attempt is live, has not stopped, and is this worker's.
fn held_by(hot: &Hot, worker: &str, attempt: AttemptId) -> Option<NamespaceId> {
    let job = hot.jobs.get(&attempt.task.job)?;
    let active = job.active.get(&attempt.task.index)?;
    let (id, _) = hot.worker_named(worker)?;
    let is_its_own = active.number == attempt.number && active.worker == id && active.state < AttemptState::Stopping;
    (is_its_own && !job.cancel_requested).then_some(job.namespace)
}

fn not_its_own(worker: &str, attempt: AttemptId) -> Status {
    tracing::warn!(worker, %attempt, "a worker asks for the secrets of an attempt that it does not hold");
    let what = format!("attempt {attempt} is not one that worker '{worker}' is to run now");
    pb::ErrorInfo::new(pb::ErrorKind::Denied, what).into_status()
}

/// Where the secrets of one namespace are, as of one state.
struct Opener<'a, S: StateStore> {
    node: &'a Node<S>,
    state: &'a State,
    namespace: NamespaceId,
    name: &'a str,
}

impl<S: StateStore> Opener<'_, S> {
    fn reply(&self, spec: &JobSpec, values: bool, login: bool) -> Result<pb::SecretsReply, Status> {
        let mut reply = pb::SecretsReply::default();
        if values && !spec.secrets.is_empty() {
            let keys = stored::keys(self.node)?;
            let names: BTreeSet<&str> = spec.secrets.iter().map(|used| used.name.as_str()).collect();
            for name in names {
                let sealed = self.row(SecretKind::Value, name)?.ok_or_else(|| gone(self.name, name))?.sealed;
                let value = self.open(&keys, SecretKind::Value, name, &sealed)?;
                reply.values.push(pb::Secret { name: name.to_owned(), value: value.to_vec().into() });
            }
        }
        if login {
            reply.login = self.login(registry_host(&spec.image))?;
        }
        Ok(reply)
    }

    fn login(&self, host: &str) -> Result<Option<pb::RegistryLogin>, Status> {
        let Some(row) = self.row(SecretKind::RegistryLogin, host)? else { return Ok(None) };
        let value = self.open(&stored::keys(self.node)?, SecretKind::RegistryLogin, host, &row.sealed)?;
        Ok(stored::login_of(&value))
    }

    fn row(&self, kind: SecretKind, name: &str) -> Result<Option<SecretRow>, Status> {
        let key = secret_key(self.namespace, kind, name);
        self.node.shared.row(self.state, Family::Secret, &key).map_err(|e| errors::internal(&e))
    }

    fn open(
        &self,
        keys: &KeyRing,
        kind: SecretKind,
        name: &str,
        sealed: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Status> {
        let place = Place { namespace: self.name, kind, name };
        keys.unseal(place, sealed).map_err(|error| self.sealed(name, &error))
    }

    /// A human must look: this master has another key than the one that sealed it, or the state is damaged.
    fn sealed(&self, name: &str, error: &UnsealError) -> Status {
        tracing::error!(name, namespace = self.name, %error, "a secret cannot be opened");
        let next = match error {
            UnsealError::OtherKey { .. } => {
                "copy the key file from the master that has this key, and keep older keys in it"
            }
            UnsealError::Damaged => "set it again with `cloudai secret set`",
            UnsealError::Newer => "upgrade this master",
        };
        let what = format!("master '{}' cannot open the secret '{name}'", self.node.config.name);
        pb::ErrorInfo::new(pb::ErrorKind::Internal, what).why(error.to_string()).next(next).into_status()
    }
}

fn gone(namespace: &str, name: &str) -> Status {
    let what = format!("the secret '{name}' is not in namespace '{namespace}' any more");
    errors::not_found(what, "set it again with `cloudai secret set`, and replay the task")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::command::{
        Authorize, CancelJob, Command, Kind, PlaceGroup, PlaceTasks, Proposal, RegisterWorker, SubmitJob, VERSION,
    };
    use cloudai_core::memory::MemRows;
    use cloudai_types::{JobId, Resources};

    /// Two workers; task 0 of job 1 is on the first.
    fn placed() -> (Hot, MemRows) {
        let (mut hot, mut rows) = (Hot::default(), MemRows::default());
        let authorize = |name: &str| {
            Kind::Authorize(Authorize { name: name.into(), secret_hash: vec![1; 32], ..Default::default() })
        };
        let capacity = Resources { cpu_milli: 1_000, ..Resources::default() };
        let spec = JobSpec { image: "i".into(), count: 2, ..JobSpec::default() };
        let submit = SubmitJob { namespace: "default".into(), spec, ..Default::default() };
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0] }];
        let kinds = vec![
            authorize("w1"),
            authorize("w2"),
            Kind::RegisterWorker(RegisterWorker { worker: 1, capacity, ..Default::default() }),
            Kind::RegisterWorker(RegisterWorker { worker: 2, capacity, ..Default::default() }),
            Kind::SubmitJob(submit),
            Kind::PlaceTasks(PlaceTasks { groups }),
        ];
        apply(&mut hot, &mut rows, 1, kinds);
        (hot, rows)
    }

    fn apply(hot: &mut Hot, rows: &mut MemRows, index: u64, kinds: Vec<Kind>) {
        let commands = kinds.into_iter().map(|kind| Command::new("x", kind)).collect();
        let proposal = Proposal { version: VERSION, at_ms: 1_000, commands };
        let applied = cloudai_core::apply(hot, &*rows, index, proposal).expect("known commands");
        rows.write(applied.writes);
    }

    #[test]
    fn only_the_worker_that_holds_the_live_attempt_may_ask() {
        let (mut hot, mut rows) = placed();
        let attempt = |index, number| AttemptId::new(JobId(1), index, number);
        assert_eq!(held_by(&hot, "w1", attempt(0, 1)), Some(NamespaceId(1)));
        assert_eq!(held_by(&hot, "w2", attempt(0, 1)), None, "another worker");
        assert_eq!(held_by(&hot, "w3", attempt(0, 1)), None, "nobody");
        assert_eq!(held_by(&hot, "w1", attempt(0, 2)), None, "another attempt");
        assert_eq!(held_by(&hot, "w1", attempt(1, 1)), None, "a task that waits");
        assert_eq!(held_by(&hot, "w1", AttemptId::new(JobId(2), 0, 1)), None, "no job");
        apply(&mut hot, &mut rows, 2, vec![Kind::CancelJob(CancelJob { job: 1 })]);
        assert_eq!(held_by(&hot, "w1", attempt(0, 1)), None, "it is to stop");
    }
}
