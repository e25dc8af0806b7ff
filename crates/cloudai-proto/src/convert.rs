//! Messages ⇄ domain types. Ids convert without loss; what may be wrong in a message is checked here, once.

use cloudai_types::{AttemptId, JobId, RequestId, TaskId, ValidJobSpec};

use crate::v1::{AttemptKey, ErrorInfo, ErrorKind, SubmitRequest, TaskInfo, WorkerMessage, worker_message};

impl From<AttemptId> for AttemptKey {
    fn from(a: AttemptId) -> Self {
        AttemptKey { job: a.task.job.0, index: a.task.index, number: a.number }
    }
}

impl From<AttemptKey> for AttemptId {
    fn from(k: AttemptKey) -> Self {
        AttemptId::new(JobId(k.job), k.index, k.number)
    }
}

impl From<worker_message::Kind> for WorkerMessage {
    fn from(kind: worker_message::Kind) -> Self {
        WorkerMessage { kind: Some(kind) }
    }
}

impl TaskInfo {
    pub fn id(&self) -> TaskId {
        TaskId { job: JobId(self.job_id), index: self.index }
    }
}

/// The namespace when none is named.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A submit that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    pub request_id: Option<RequestId>,
    pub namespace: String,
    pub spec: ValidJobSpec,
}

impl TryFrom<SubmitRequest> for Submit {
    type Error = ErrorInfo;

    fn try_from(r: SubmitRequest) -> Result<Self, ErrorInfo> {
        let invalid = |why: String| ErrorInfo::new(ErrorKind::Invalid, "the job was not accepted").why(why);
        let request_id = match r.request_id.as_str() {
            "" => None,
            text => Some(text.parse::<RequestId>().map_err(|e| invalid(e.to_string()))?),
        };
        let namespace = if r.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { r.namespace };
        cloudai_types::spec::check_name(&namespace).map_err(|why| invalid(format!("the namespace {why}")))?;
        let spec = ValidJobSpec::parse(r.spec.unwrap_or_default()).map_err(|e| {
            invalid(e.to_string()).next("correct the spec; `cloudai job validate -f FILE` checks it without submitting")
        })?;
        Ok(Submit { request_id, namespace, spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobSpec;

    #[test]
    fn attempts_convert_both_ways() {
        let a = AttemptId::new(JobId(7), 3, 2);
        assert_eq!(AttemptId::from(AttemptKey::from(a)), a);
    }

    #[test]
    fn a_submit_is_checked_once() {
        let ok = SubmitRequest {
            request_id: "k".into(),
            namespace: String::new(),
            spec: Some(JobSpec { image: "busybox".into(), ..Default::default() }),
        };
        let parsed = Submit::try_from(ok.clone()).expect("valid");
        assert_eq!((parsed.namespace.as_str(), parsed.spec.get().count), ("default", 1));
        for bad in [
            SubmitRequest { spec: None, ..ok.clone() },
            SubmitRequest { request_id: "a b".into(), ..ok.clone() },
            SubmitRequest { namespace: "a/b".into(), ..ok },
        ] {
            assert_eq!(Submit::try_from(bad).expect_err("refused").kind(), ErrorKind::Invalid);
        }
    }
}
