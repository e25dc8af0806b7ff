//! A submitted job's image becomes one content. Comes in: the command of a checked submit. Goes out: the same with the digest that its tag means now,
//! or as it was, or a refusal. Which of them: [`decide`]. Done once, before the command is proposed; what is in the record stays.

use cloudai_core::Command;
use cloudai_core::command::{Kind, PINNED_SINCE};
use cloudai_core::rows::{Family, RequestRow};
use cloudai_proto::v1 as pb;
use cloudai_registry::ResolveError;
use cloudai_types::PullPolicy;
use cloudai_types::image::Digest;

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
    {
        let state = node.shared.read();
        // Masters of an older build would not keep it.
        if state.hot.version < PINNED_SINCE {
            return Ok(());
        }
        // A repeated request gets the first one's job, whatever the tag means by now.
        if !submit.request_id.is_empty() {
            let row = node.shared.row::<RequestRow>(&state, Family::Request, submit.request_id.as_bytes());
            match row {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(()),
                Err(error) => return Err(errors::internal_info(&error).into()),
            }
        }
    }
    let pull = submit.spec.pull();
    let login = secrets::stored_login(node, &submit.namespace, &submit.spec.image);
    let answer = node.pins.resolve(&submit.spec.image, login).await;
    if let Some(digest) = decide(pull, &submit.spec.image, answer)? {
        submit.spec.image_digest = digest.into_string();
    }
    Ok(())
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
