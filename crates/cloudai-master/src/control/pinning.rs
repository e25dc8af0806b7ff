//! A submitted job's image becomes one content. Comes in: the command of a checked submit. Goes out: the same with the digest that its tag means now,
//! or as it was, or a refusal. Which of them: [`decide`]. Done once, before the command is proposed; what is in the record stays.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::Command;
use cloudai_core::command::{Kind, PINNED_SINCE, SubmitWorkflow};
use cloudai_core::rows::{Family, RequestRow};
use cloudai_proto::v1 as pb;
use cloudai_registry::ResolveError;
use cloudai_types::image::Digest;
use cloudai_types::{JobSpec, PullPolicy, limits};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::control::errors;
use crate::dispatch::secrets;
use crate::node::Node;
use crate::state_store::StateStore;

/// A digest is never the user's to say, and no part of what makes two requests the same.
pub fn forget(request: &mut pb::SubmitRequest) {
    if let Some(spec) = &mut request.spec {
        spec.image_digest.clear();
    }
}

pub fn is_wanted<S: StateStore>(node: &Node<S>, command: &Command) -> bool {
    matches!(&command.kind, Some(Kind::SubmitJob(submit)) if node.pins.is_wanted(&submit.spec))
}

/// Asks the registry.
pub async fn pin<S: StateStore>(node: &Node<S>, command: &mut Command) -> Result<(), Box<pb::ErrorInfo>> {
    let Some(Kind::SubmitJob(submit)) = &mut command.kind else { return Ok(()) };
    if !is_new(node, &submit.request_id)? {
        return Ok(());
    }
    let (pull, image) = (submit.spec.pull(), &submit.spec.image);
    if let Some(digest) = digest(node, &submit.namespace, image, pull).await? {
        submit.spec.image_digest = digest.into_string();
    }
    Ok(())
}

/// The digest of what a schedule's job runs, for a run that is about to begin; empty: it is not to be pinned, or could not be.
pub async fn digest_now<S: StateStore>(
    node: &Node<S>,
    namespace: &str,
    job: &JobSpec,
) -> Result<String, Box<pb::ErrorInfo>> {
    if !node.pins.is_wanted(job) {
        return Ok(String::new());
    }
    Ok(digest(node, namespace, &job.image, job.pull()).await?.map(Digest::into_string).unwrap_or_default())
}

/// Asks once for each image of a workflow, several at a time: however many of its jobs run one, it is the same image.
pub async fn pin_workflow<S: StateStore>(
    node: &Node<S>,
    submit: &mut SubmitWorkflow,
) -> Result<(), Box<pb::ErrorInfo>> {
    if !is_new(node, &submit.request_id)? {
        return Ok(());
    }
    let images = submit.workflow.nodes.iter().filter(|n| node.pins.is_wanted(&n.spec));
    let images: BTreeSet<(String, i32)> = images.map(|n| (n.spec.image.clone(), n.spec.pull)).collect();
    let namespace = &submit.namespace;
    let questions = images.into_iter().map(|(image, pull)| async move {
        let policy = PullPolicy::try_from(pull).unwrap_or(PullPolicy::Missing);
        let digest = digest(node, namespace, &image, policy).await?;
        Ok::<_, Box<pb::ErrorInfo>>(((image, pull), digest.map(Digest::into_string)))
    });
    let answers = futures::stream::iter(questions).buffer_unordered(limits::WORKFLOW_IMAGES_AT_ONCE);
    let digests: BTreeMap<(String, i32), Option<String>> = answers.try_collect().await?;
    for n in &mut submit.workflow.nodes {
        if let Some(Some(digest)) = digests.get(&(n.spec.image.clone(), n.spec.pull)) {
            n.spec.image_digest.clone_from(digest);
        }
    }
    Ok(())
}

/// False: nothing is to be pinned. A repeated request gets what the first one got, whatever a tag means by now.
fn is_new<S: StateStore>(node: &Node<S>, request_id: &str) -> Result<bool, Box<pb::ErrorInfo>> {
    let state = node.shared.read();
    // Masters of an older build would not keep it.
    if state.hot.version < PINNED_SINCE {
        return Ok(false);
    }
    if request_id.is_empty() {
        return Ok(true);
    }
    let row = node.shared.row::<RequestRow>(&state, Family::Request, request_id.as_bytes());
    row.map(|row| row.is_none()).map_err(|error| errors::internal_info(&error).into())
}

async fn digest<S: StateStore>(
    node: &Node<S>,
    namespace: &str,
    image: &str,
    pull: PullPolicy,
) -> Result<Option<Digest>, Box<pb::ErrorInfo>> {
    let login = secrets::stored_login(node, namespace, image);
    let answer = node.pins.resolve(image, login).await;
    decide(pull, image, answer)
}

/// Only a registry's clear "no" refuses a job, and only one that would not be content with what a worker holds. A registry that is away, or that lets
/// this master not in, may well be open to the workers: they ask again, and say how it ended.
fn decide(
    pull: PullPolicy,
    image: &str,
    answer: Result<Digest, ResolveError>,
) -> Result<Option<Digest>, Box<pb::ErrorInfo>> {
    let error = match answer {
        Ok(digest) => return Ok(Some(digest)),
        Err(error) => error,
    };
    match (&error, pull) {
        (ResolveError::NotFound { .. } | ResolveError::Name(_), PullPolicy::Always) => {
            let info = pb::ErrorInfo::new(pb::ErrorKind::NotFound, format!("the job's image '{image}' does not exist"))
                .why(format!("{error}, and the job says to pull it always"))
                .next("correct the name or push the image; `pull: missing` also takes one that a worker holds already");
            Err(info.into())
        }
        (ResolveError::NotFound { .. } | ResolveError::Name(_), PullPolicy::Missing | PullPolicy::Never) => {
            tracing::info!(image, %error, "a job's image is not pinned: a worker may hold it");
            Ok(None)
        }
        (
            ResolveError::Denied { .. } | ResolveError::Unreachable { .. } | ResolveError::Strange { .. },
            PullPolicy::Always | PullPolicy::Missing | PullPolicy::Never,
        ) => {
            tracing::warn!(image, %error, "a job's image is not pinned: its tag is what it means when a task starts");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_no_refuses_and_only_who_wants_to_pull() {
        let digest = Digest::parse(&format!("sha256:{}", "0f".repeat(32))).unwrap();
        let (host, why) = ("reg:5000".to_owned(), "x".to_owned());
        let absent = ResolveError::NotFound { host: host.clone(), repository: "x".into(), tag: "1".into() };
        let denied = ResolveError::Denied { host: host.clone(), why: why.clone() };
        let away = ResolveError::Unreachable { host: host.clone(), why: why.clone() };
        let strange = ResolveError::Strange { host, why };
        let of = |pull, answer| match decide(pull, "reg:5000/x:1", answer) {
            Ok(Some(_)) => "pinned",
            Ok(None) => "not pinned",
            Err(info) => {
                assert_eq!(info.kind(), pb::ErrorKind::NotFound);
                assert!(info.what.contains("reg:5000/x:1") && !info.next.is_empty(), "{info:?}");
                "refused"
            }
        };
        for (answer, missing, always) in [
            (Ok(digest), "pinned", "pinned"),
            (Err(absent), "not pinned", "refused"),
            (Err(ResolveError::Name("reg:5000/X".into())), "not pinned", "refused"),
            (Err(denied), "not pinned", "not pinned"),
            (Err(away), "not pinned", "not pinned"),
            (Err(strange), "not pinned", "not pinned"),
        ] {
            assert_eq!(of(PullPolicy::Missing, answer.clone()), missing, "{answer:?}");
            assert_eq!(of(PullPolicy::Always, answer.clone()), always, "{answer:?}");
        }
    }

    #[test]
    fn a_digest_that_a_user_says_is_forgotten() {
        let spec = cloudai_types::JobSpec { image_digest: "sha256:forged".into(), ..Default::default() };
        let mut request = pb::SubmitRequest { spec: Some(spec), ..Default::default() };
        forget(&mut request);
        assert_eq!(request.spec.unwrap().image_digest, "");
    }
}
