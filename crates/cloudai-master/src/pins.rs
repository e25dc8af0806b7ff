//! What tags mean, asked at their registries. Comes in: the name of an image, perhaps a login. Goes out: its digest, or why there is none. Callers
//! who ask for the same at the same time share one question; an answer is not kept, because a tag may move. Only that a registry cannot be reached
//! is remembered for a while, so that each submit does not wait for it anew. What follows for a job is not known here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cloudai_registry::{Logins, Registries, ResolveError};
use cloudai_types::image::{Digest, has_digest, registry_host, registry_of};
use cloudai_types::{JobSpec, PullPolicy, RegistryLogin, limits};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::ImagesConfig;

const UNPOISONED: &str = "nothing panics under this lock";

type Answer = Result<Digest, ResolveError>;
/// The image, and who asks: what one may see is not another's to know.
type Question = (String, Option<(String, String)>);

pub struct Pins {
    short_names: bool,
    logins: Logins,
    shared: Arc<Shared>,
}

struct Shared {
    registries: Registries,
    flights: Mutex<BTreeMap<Question, watch::Receiver<Option<Answer>>>>,
    /// By registry, since when.
    away: Mutex<BTreeMap<String, (Instant, ResolveError)>>,
}

impl Pins {
    pub fn new(config: &ImagesConfig, logins: Logins) -> Self {
        let shared = Shared {
            registries: Registries::new(config.insecure.iter().cloned()),
            flights: Mutex::default(),
            away: Mutex::default(),
        };
        Pins { short_names: config.pin_short_names, logins, shared: Arc::new(shared) }
    }

    /// Whether this job's tag is to be looked up. Most submits end here: a look at a few bytes.
    pub fn is_wanted(&self, spec: &JobSpec) -> bool {
        (self.short_names || registry_of(&spec.image).is_some())
            && !has_digest(&spec.image)
            && spec.pull() != PullPolicy::Never
    }

    /// What the tag means now. `stored` is the login that the job's namespace has for this registry; without one the configuration's is shown.
    pub async fn resolve(&self, image: &str, stored: Option<RegistryLogin>) -> Answer {
        let host = registry_host(image);
        let login = stored.or_else(|| {
            // Without it there may be an answer all the same.
            self.logins.login(host).unwrap_or_else(|error| {
                tracing::warn!(%error, "a login cannot be read; the registry is asked without one");
                None
            })
        });
        if let Some(error) = self.shared.away(host) {
            return Err(error);
        }
        let question = (image.to_owned(), login.as_ref().map(|l| (l.username.clone(), l.password.clone())));
        let mut answer = {
            let mut flights = self.shared.flights.lock().expect(UNPOISONED);
            match flights.get(&question) {
                Some(flight) => flight.clone(),
                None if flights.len() >= limits::REGISTRY_QUESTIONS_MAX => {
                    let why = format!("{} questions are on their way already", flights.len());
                    return Err(ResolveError::Unreachable { host: host.to_owned(), why });
                }
                None => {
                    let flight = begin(self.shared.clone(), question.clone(), login);
                    flights.insert(question, flight.clone());
                    flight
                }
            }
        };
        match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().expect("waited for it"),
            Err(_) => Err(ResolveError::Unreachable { host: host.to_owned(), why: "the question was given up".into() }),
        }
    }
}

/// A task of its own: it goes on when who asked first has gone. It ends, because a question is bounded in time.
fn begin(shared: Arc<Shared>, question: Question, login: Option<RegistryLogin>) -> watch::Receiver<Option<Answer>> {
    let (tx, rx) = watch::channel(None);
    tokio::spawn(async move {
        let image = question.0.as_str();
        let answer = shared.registries.resolve(image, login.as_ref()).await;
        if let Err(error @ ResolveError::Unreachable { .. }) = &answer {
            shared.remember(registry_host(image), error);
        }
        shared.flights.lock().expect(UNPOISONED).remove(&question);
        tx.send_replace(Some(answer));
    });
    rx
}

impl Shared {
    fn away(&self, host: &str) -> Option<ResolveError> {
        let mut away = self.away.lock().expect(UNPOISONED);
        away.retain(|_, (since, _)| since.elapsed() < limits::REGISTRY_AWAY.as_duration());
        away.get(host).map(|(_, error)| error.clone())
    }

    fn remember(&self, host: &str, error: &ResolveError) {
        let mut away = self.away.lock().expect(UNPOISONED);
        if away.len() < limits::REGISTRIES_AWAY_MAX {
            away.insert(host.to_owned(), (Instant::now(), error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn spec(image: &str, pull: PullPolicy) -> JobSpec {
        JobSpec { image: image.into(), pull: pull as i32, ..JobSpec::default() }
    }

    #[test]
    fn who_names_no_registry_asks_none() {
        let pins = Pins::new(&ImagesConfig::default(), Logins::default());
        let all = Pins::new(&ImagesConfig { pin_short_names: true, ..Default::default() }, Logins::default());
        let wanted = |image: &str, pull| (pins.is_wanted(&spec(image, pull)), all.is_wanted(&spec(image, pull)));
        assert_eq!(wanted("busybox", PullPolicy::Missing), (false, true));
        assert_eq!(wanted("cloudai/busybox:1", PullPolicy::Always), (false, true));
        assert_eq!(wanted("reg:5000/x:1", PullPolicy::Missing), (true, true));
        assert_eq!(wanted("reg:5000/x:1", PullPolicy::Always), (true, true));
        assert_eq!(wanted("reg:5000/x:1", PullPolicy::Never), (false, false));
        assert_eq!(wanted("reg:5000/x@sha256:ab", PullPolicy::Always), (false, false));
    }

    /// A registry that answers each question with the next digest, when it is told to.
    async fn registry(asked: Arc<AtomicUsize>, mut go: watch::Receiver<bool>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let n = asked.fetch_add(1, SeqCst) + 1;
                go.wait_for(|go| *go).await.unwrap();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:{n:064x}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        host
    }

    #[tokio::test]
    async fn submits_of_one_image_share_a_question_and_the_next_asks_anew() {
        let asked = Arc::new(AtomicUsize::new(0));
        let (let_go, go) = watch::channel(false);
        let image = format!("{}/x:1", registry(asked.clone(), go).await);
        let pins = Arc::new(Pins::new(&ImagesConfig::default(), Logins::default()));
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let (pins, image) = (pins.clone(), image.clone());
                tokio::spawn(async move { pins.resolve(&image, None).await })
            })
            .collect();
        while asked.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // All of them are in: this runtime has one thread, and each runs until it waits.
        let_go.send_replace(true);
        let digest = |n: usize| Digest::parse(&format!("sha256:{n:064x}")).unwrap();
        for one in asking {
            assert_eq!(one.await.unwrap(), Ok(digest(1)));
        }
        assert_eq!(asked.load(SeqCst), 1);
        assert_eq!(pins.resolve(&image, None).await, Ok(digest(2)), "a tag may have moved");
        assert_eq!(pins.shared.flights.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_registry_that_is_away_is_not_waited_for_again() {
        let pins = Pins::new(&ImagesConfig::default(), Logins::default());
        let first = pins.resolve("127.0.0.1:1/x:1", None).await;
        assert!(matches!(first, Err(ResolveError::Unreachable { .. })), "{first:?}");
        assert_eq!(pins.resolve("127.0.0.1:1/y:2", None).await, first, "it is not asked at all");
    }
}
