//! What an engine's error means for an attempt. Comes in: the error. Goes out: a closed set of meanings. The engine tells some
//! of them by words only, so this is the one place that looks at words.

use bollard::errors::Error;
use cloudai_types::{EndReason, ReasonKind};

#[derive(Clone, PartialEq, Debug)]
pub enum Fault {
    NoSuchImage,
    NoSuchContainer,
    /// A container of that name is there.
    NameTaken,
    /// It is not running, or it is being removed already.
    NotRunning,
    /// The image's program cannot be run.
    Program(String),
    /// The engine has no init program.
    NoInit,
    /// The engine cannot hold a container's own files to a size.
    NoQuota,
    /// The engine cannot give GPUs to containers.
    NoGpuDriver,
    /// The engine cannot give a process so many open files: it has fewer itself.
    NoOpenFiles,
    /// The request itself is wrong, for this engine.
    Request(String),
    /// The engine failed or did not answer.
    Engine(String),
}

impl Fault {
    pub fn of(error: &Error) -> Fault {
        let Error::DockerResponseServerError { status_code, message } = error else {
            return Fault::Engine(error.to_string());
        };
        let said = message.to_ascii_lowercase();
        match status_code {
            404 if said.contains("no such image") => Fault::NoSuchImage,
            _ if said.contains("docker-init") && said.contains("no such file") => Fault::NoInit,
            _ if said.contains("storage-opt") => Fault::NoQuota,
            _ if said.contains("could not select device driver") => Fault::NoGpuDriver,
            _ if said.contains("setting rlimit") => Fault::NoOpenFiles,
            // Before 404: what is not found may be the program.
            _ if is_about_the_program(&said) => Fault::Program(message.clone()),
            404 if said.contains("no such container") => Fault::NoSuchContainer,
            409 if said.contains("already in use") => Fault::NameTaken,
            409 => Fault::NotRunning,
            400 if said.contains("invalid reference format") => Fault::NoSuchImage,
            400..=499 => Fault::Request(message.clone()),
            _ => Fault::Engine(message.clone()),
        }
    }

    pub fn into_reason(self, image: &str) -> EndReason {
        match self {
            Fault::NoSuchImage => EndReason::new(ReasonKind::ImageNotFound, format!("no image '{image}' was found")),
            Fault::Program(said) => EndReason::new(ReasonKind::StartFailed, said),
            Fault::Request(said) => {
                EndReason::new(ReasonKind::Rejected, format!("the engine refuses the request: {said}"))
            }
            Fault::NoSuchContainer => EndReason::new(ReasonKind::EngineError, "the container has vanished"),
            Fault::NameTaken => EndReason::new(ReasonKind::EngineError, "another container has this attempt's name"),
            Fault::NotRunning => EndReason::new(ReasonKind::EngineError, "the container is being removed"),
            Fault::NoQuota => EndReason::new(ReasonKind::EngineError, "the engine's disk keeps no quotas"),
            Fault::NoGpuDriver => EndReason::new(
                ReasonKind::EngineError,
                "this worker offers GPUs, and its engine cannot give them to containers; its operator installs the NVIDIA container toolkit, \
                 or says capacity = \"gpu=0\"",
            ),
            Fault::NoOpenFiles => EndReason::new(
                ReasonKind::Rejected,
                "open_files: the engine of this worker has not so many to give; ask for fewer",
            ),
            Fault::NoInit => EndReason::new(ReasonKind::EngineError, "the engine has no init program"),
            Fault::Engine(said) => EndReason::new(ReasonKind::EngineError, said),
        }
    }
}

/// What the container runtime says when the command is not there, is no program, or may not be run.
fn is_about_the_program(said: &str) -> bool {
    let start = said.contains("oci runtime") || said.contains("starting container process") || said.contains("exec:");
    let fault = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "exec format error",
        "is a directory",
        "not a directory",
    ];
    (start && fault.iter().any(|f| said.contains(f))) || said.contains("no command specified")
}

/// Why a pull failed: the image does not exist, or it could not be had. `login`: the name that was shown to the registry.
pub fn of_pull(error: &Error, image: &str, login: Option<&str>) -> EndReason {
    let message = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    };
    let said = message.to_ascii_lowercase();
    // "no such host" is about the registry: it must not be taken for the image.
    let absent = [
        "manifest unknown",
        "not found",
        "does not exist",
        "pull access denied",
        "no such image",
        "invalid reference format",
    ];
    let network = ["no such host", "dial tcp", "i/o timeout", "connection refused", "tls"];
    // Without a login Docker Hub says "denied" of what is not there as well; a registry that knows only passwords speaks of nothing else.
    let denied =
        ["unauthorized", "authentication required", "no basic auth credentials", "incorrect username or password"];
    let ambiguous = said.contains("pull access denied") && login.is_none();
    let is_denied = !ambiguous
        && (denied.iter().any(|w| said.contains(w)) || said.contains("denied:") || said.contains("access denied"));
    let is_absent = !is_denied && absent.iter().any(|w| said.contains(w)) && !network.iter().any(|w| said.contains(w));
    let kind = if is_absent { ReasonKind::ImageNotFound } else { ReasonKind::ImagePullFailed };
    let next = match (is_denied || ambiguous, login) {
        (false, _) => String::new(),
        (true, Some(name)) => {
            format!(
                "; the registry does not accept the login of '{name}' for this image: correct it, or what it may pull"
            )
        }
        (true, None) => {
            "; no login for this registry is known to the worker: docs/images.md says where it is given".into()
        }
    };
    EndReason::new(kind, format!("{image}: {message}{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn what_engines_have_said_so_far() {
        assert_eq!(Fault::of(&said(404, "No such image: nope:latest")), Fault::NoSuchImage);
        assert_eq!(Fault::of(&said(404, "No such container: x")), Fault::NoSuchContainer);
        let conflict = "Conflict. The container name \"/x\" is already in use by container \"1\".";
        assert_eq!(Fault::of(&said(409, conflict)), Fault::NameTaken);
        assert_eq!(Fault::of(&said(409, "removal of container x is already in progress")), Fault::NotRunning);
        for program in [
            "failed to create shim: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown",
            "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/etc\": permission denied: unknown",
        ] {
            assert!(matches!(Fault::of(&said(400, program)), Fault::Program(_)), "{program}");
        }
        assert!(matches!(Fault::of(&said(400, "No command specified")), Fault::Program(_)));
        assert!(matches!(Fault::of(&said(400, "Range of CPUs is from 0.01 to 2.00")), Fault::Request(_)));
        assert!(matches!(Fault::of(&said(500, "driver failed")), Fault::Engine(_)));
        let quota = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        assert_eq!(Fault::of(&said(500, quota)), Fault::NoQuota);
        let files = "OCI runtime create failed: runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: unknown";
        assert_eq!(Fault::of(&said(400, files)), Fault::NoOpenFiles);
    }

    #[test]
    fn an_absent_image_is_told_from_an_absent_registry() {
        let kind = |message: &str| of_pull(&said(404, message), "i", None).kind();
        assert_eq!(kind("manifest for nope:latest not found: manifest unknown"), ReasonKind::ImageNotFound);
        assert_eq!(
            kind("pull access denied for nope, repository does not exist or may require 'docker login'"),
            ReasonKind::ImageNotFound
        );
        let lookup = "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host";
        assert_eq!(kind(lookup), ReasonKind::ImagePullFailed);
        assert_eq!(kind("net/http: TLS handshake timeout"), ReasonKind::ImagePullFailed);
    }

    #[test]
    fn a_login_that_is_wrong_is_told_from_an_image_that_is_not_there() {
        let of = |message: &str, login| {
            let reason = of_pull(&said(500, message), "reg:5000/x:1", login);
            (reason.kind(), reason.detail.clone())
        };
        for message in [
            "Head \"http://reg:5000/v2/x/manifests/1\": no basic auth credentials",
            "Head \"http://reg:5000/v2/x/manifests/1\": unauthorized: authentication required",
            "unauthorized: authentication required",
            "denied: requested access to the resource is denied",
            "Get \"https://reg:5000/v2/\": unauthorized: incorrect username or password",
        ] {
            let (kind, detail) = of(message, Some("ci"));
            assert_eq!(kind, ReasonKind::ImagePullFailed, "{message}");
            assert!(detail.contains(message) && detail.contains("login of 'ci'"), "{detail}");
            let (kind, detail) = of(message, None);
            assert_eq!(kind, ReasonKind::ImagePullFailed, "{message}");
            assert!(detail.contains("no login"), "{detail}");
        }
        let hub = "pull access denied for nope, repository does not exist or may require 'docker login'";
        assert_eq!(of(hub, None).0, ReasonKind::ImageNotFound);
        assert_eq!(of(hub, Some("ci")).0, ReasonKind::ImagePullFailed);
        let absent = of("manifest for reg:5000/x:9 not found: manifest unknown: manifest unknown", Some("ci"));
        assert_eq!(absent.0, ReasonKind::ImageNotFound);
        assert!(!absent.1.contains("login"), "{}", absent.1);
    }
}
