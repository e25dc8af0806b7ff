//! The question to a registry. Comes in: the name of an image, perhaps a login. Goes out: the digest that its tag means now.
//!
//! One HEAD, after a 401 with what the challenge asks for: name and password, or a token that is got with them. Plain HTTP only to this machine
//! and to the hosts that the operator lists, also for tokens and after redirects, because a password may be in what is said. Every wait and
//! every answer is bounded.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use cloudai_types::image::Digest;
use cloudai_types::{RegistryLogin, limits};
use http_auth::ChallengeRef;
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};

use crate::place::{Place, is_loopback};

const DIGEST: &str = "docker-content-digest";
/// An index before what it lists: the digest must be that of what the engine of any machine would fetch.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why there is no digest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("'{0}' is no name that a registry could have")]
    Name(String),
    /// The registry answered: it has no such tag.
    #[error("{host} has no '{tag}' of {repository}")]
    NotFound { host: String, repository: String, tag: String },
    /// Nobody is let in without a login, or not with this one.
    #[error("{host} does not let us in: {why}")]
    Denied { host: String, why: String },
    /// No answer, or one that says to come later.
    #[error("{host} cannot be asked now: {why}")]
    Unreachable { host: String, why: String },
    /// It answers, but not as a registry does.
    #[error("{host} gives no answer that makes sense: {why}")]
    Strange { host: String, why: String },
}

/// All registries, through one client.
pub struct Registries {
    /// Hosts that are spoken to in the clear, beside this machine.
    insecure: Arc<BTreeSet<String>>,
    /// Made when it is first needed: most clusters ask nobody.
    client: OnceLock<Result<Client, String>>,
}

/// What a request shows.
enum Shown<'a> {
    Nothing,
    Login(&'a RegistryLogin),
    Token(String),
}

impl Registries {
    pub fn new(insecure: impl IntoIterator<Item = String>) -> Self {
        Registries { insecure: Arc::new(insecure.into_iter().collect()), client: OnceLock::new() }
    }

    /// What the tag means now.
    pub async fn resolve(&self, image: &str, login: Option<&RegistryLogin>) -> Result<Digest, ResolveError> {
        let place = Place::of(image).ok_or_else(|| ResolveError::Name(image.to_owned()))?;
        let asking = Asking { registries: self, place: &place, login };
        match tokio::time::timeout(limits::REGISTRY_ANSWER_MAX.as_duration(), asking.digest()).await {
            Ok(answer) => answer,
            Err(_) => {
                let why = format!("it did not answer within {} s", limits::REGISTRY_ANSWER_MAX.0 / 1_000);
                Err(ResolveError::Unreachable { host: place.host, why })
            }
        }
    }

    fn client(&self) -> Result<&Client, String> {
        let made = self.client.get_or_init(|| {
            // An error says that one is installed already, which is ours (ADR 0003).
            let _ = rustls::crypto::ring::default_provider().install_default();
            let insecure = self.insecure.clone();
            let policy = redirect::Policy::custom(move |next| {
                if next.previous().len() > limits::REGISTRY_REDIRECTS_MAX {
                    return next.error("too many redirects");
                }
                if !is_allowed(next.url(), &insecure) {
                    return next.error("it redirects to an address that is not encrypted");
                }
                next.follow()
            });
            Client::builder()
                .user_agent(concat!("cloudai/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(limits::REGISTRY_CONNECT_MAX.as_duration())
                .timeout(limits::REGISTRY_ANSWER_MAX.as_duration())
                .redirect(policy)
                .build()
                .map_err(|e| said(&e))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

/// Encrypted, or nobody hears it, or the operator does not mind.
fn is_allowed(url: &Url, insecure: &BTreeSet<String>) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_plain(&authority(url), insecure))
}

fn is_plain(host: &str, insecure: &BTreeSet<String>) -> bool {
    is_loopback(host) || insecure.contains(host)
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// One question on its way.
struct Asking<'a> {
    registries: &'a Registries,
    place: &'a Place,
    login: Option<&'a RegistryLogin>,
}

impl Asking<'_> {
    async fn digest(&self) -> Result<Digest, ResolveError> {
        let mut shown = Shown::Nothing;
        let mut answer = self.manifest(Method::HEAD, &shown).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            shown = self.meet(&answer).await?;
            answer = self.manifest(Method::HEAD, &shown).await?;
        }
        self.check(answer.status())?;
        if let Some(digest) = answer.headers().get(DIGEST) {
            let text = digest.to_str().unwrap_or_default();
            return Digest::parse(text).map_err(|e| self.strange(format!("'{}' {e}", shorten(text))));
        }
        // It does not say: the content itself does.
        let answer = self.manifest(Method::GET, &shown).await?;
        self.check(answer.status())?;
        let is_manifest = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|t| t.to_str().ok())
            .is_some_and(|t| MANIFESTS.split(", ").any(|known| t.starts_with(known)));
        if !is_manifest {
            return Err(self.strange("what it has under this name is no image".to_owned()));
        }
        let body = self.body(answer, limits::REGISTRY_MANIFEST_BYTES_MAX).await?;
        let sum = ring::digest::digest(&ring::digest::SHA256, &body);
        let hex: String = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Digest::parse(&format!("sha256:{hex}")).map_err(|e| self.strange(e.to_string()))
    }

    async fn manifest(&self, method: Method, shown: &Shown<'_>) -> Result<Response, ResolveError> {
        let Place { host, repository, tag } = self.place;
        let scheme = if is_plain(host, &self.registries.insecure) { "http" } else { "https" };
        let url = Url::parse(&format!("{scheme}://{host}/v2/{repository}/manifests/{tag}"))
            .map_err(|e| self.strange(e.to_string()))?;
        self.send(method, url, shown).await
    }

    async fn send(&self, method: Method, url: Url, shown: &Shown<'_>) -> Result<Response, ResolveError> {
        let client = self.registries.client().map_err(|why| self.unreachable(why))?;
        let request = client.request(method, url).header(ACCEPT, MANIFESTS);
        let request = match shown {
            Shown::Nothing => request,
            Shown::Login(login) => request.basic_auth(&login.username, Some(&login.password)),
            Shown::Token(token) => request.bearer_auth(token),
        };
        request.send().await.map_err(|e| self.unreachable(said(&e)))
    }

    /// What the registry wants to be shown.
    async fn meet(&self, answer: &Response) -> Result<Shown<'_>, ResolveError> {
        let asked = answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let asked = asked.collect::<Vec<_>>().join(", ");
        let challenges = http_auth::parse_challenges(&asked).unwrap_or_default();
        let of = |scheme: &str| challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case(scheme));
        if let Some(bearer) = of("bearer") {
            return self.token(bearer).await.map(Shown::Token);
        }
        match (of("basic"), self.login) {
            (Some(_), Some(login)) => Ok(Shown::Login(login)),
            (Some(_), None) => {
                Err(self.denied("it asks for a name and a password, and none are known here".to_owned()))
            }
            (None, _) => Err(self.strange("it asks for something else than a password or a token".to_owned())),
        }
    }

    async fn token(&self, bearer: &ChallengeRef<'_>) -> Result<String, ResolveError> {
        let param = |name: &str| {
            let found = bearer.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = param("realm").and_then(|realm| Url::parse(&realm).ok());
        let mut url = realm.ok_or_else(|| self.strange("it does not say where tokens are".to_owned()))?;
        if !is_allowed(&url, &self.registries.insecure) {
            return Err(self.strange("it gives tokens at an address that is not encrypted".to_owned()));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = param("service") {
                query.append_pair("service", &service);
            }
            query.append_pair("scope", &format!("repository:{}:pull", self.place.repository));
        }
        let answer = self.send(Method::GET, url, &self.login.map_or(Shown::Nothing, Shown::Login)).await?;
        self.check(answer.status())?;
        let body = self.body(answer, limits::REGISTRY_ANSWER_BYTES_MAX).await?;
        #[derive(serde::Deserialize)]
        struct Tokens {
            token: Option<String>,
            access_token: Option<String>,
        }
        let tokens: Option<Tokens> = serde_json::from_slice(&body).ok();
        let token = tokens.and_then(|t| t.token.or(t.access_token)).filter(|t| !t.is_empty());
        token.ok_or_else(|| self.strange("it gives no token".to_owned()))
    }

    async fn body(&self, mut answer: Response, max: usize) -> Result<Vec<u8>, ResolveError> {
        let mut body = vec![];
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.unreachable(said(&e)))? {
            body.extend_from_slice(&chunk);
            if body.len() > max {
                return Err(self.strange(format!("its answer has more than {max} bytes")));
            }
        }
        Ok(body)
    }

    fn check(&self, status: StatusCode) -> Result<(), ResolveError> {
        let Place { host, repository, tag } = self.place;
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => {
                Err(ResolveError::NotFound { host: host.clone(), repository: repository.clone(), tag: tag.clone() })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.denied(match self.login {
                Some(login) => format!("it answers '{status}' to the login of '{}'", login.username),
                None => format!("it answers '{status}', and no login is known here"),
            })),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(self.unreachable(format!("it answers '{status}'")))
            }
            other if other.is_server_error() => Err(self.unreachable(format!("it answers '{other}'"))),
            other => Err(self.strange(format!("it answers '{other}'"))),
        }
    }

    fn denied(&self, why: String) -> ResolveError {
        ResolveError::Denied { host: self.place.host.clone(), why }
    }
    fn unreachable(&self, why: String) -> ResolveError {
        ResolveError::Unreachable { host: self.place.host.clone(), why }
    }
    fn strange(&self, why: String) -> ResolveError {
        ResolveError::Strange { host: self.place.host.clone(), why }
    }
}

/// An error with what is behind it, which is where the reason stands.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

fn shorten(text: &str) -> &str {
    text.get(..text.len().min(Digest::BYTES * 2)).unwrap_or_default()
}
