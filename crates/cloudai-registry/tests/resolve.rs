//! Questions to registries that are a few lines each: what they are asked, and what becomes of their answers.

// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode};
use cloudai_registry::{Registries, ResolveError};
use cloudai_types::RegistryLogin;
use tokio::net::TcpListener;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest() -> String {
    format!("sha256:{}", "0f".repeat(32))
}

/// One request as it came: method, path with query, authorization.
type Seen = (Method, String, String);

struct Fake {
    host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// `answers` knows the request and the server's own host.
    async fn start(answers: impl Fn(&Seen, &str) -> Response<Body> + Clone + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(vec![]));
        let (log, own) = (seen.clone(), host.clone());
        let app = Router::new().fallback(move |request: Request| {
            let header = request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
            let one = (request.method().clone(), request.uri().to_string(), header.to_owned());
            let answer = answers(&one, &own);
            log.lock().unwrap().push(one);
            std::future::ready(answer)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Fake { host, seen }
    }

    async fn resolve(&self, path: &str, login: Option<&RegistryLogin>) -> Result<String, ResolveError> {
        let image = format!("{}/{path}", self.host);
        Registries::new([]).resolve(&image, login).await.map(|digest| digest.into_string())
    }

    fn seen(&self) -> Vec<(String, String, String)> {
        self.seen.lock().unwrap().iter().map(|(m, p, a)| (m.to_string(), p.clone(), a.clone())).collect()
    }
}

fn answer(status: StatusCode, headers: &[(&str, String)], body: &str) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(body.to_owned())).unwrap()
}

fn login() -> RegistryLogin {
    RegistryLogin { username: "ci".into(), password: "s3cret".into() }
}

/// `ci:s3cret`, as a request shows it.
const BASIC: &str = "Basic Y2k6czNjcmV0";

#[tokio::test]
async fn an_open_registry_is_asked_once() {
    let fake = Fake::start(|_, _| answer(StatusCode::OK, &[("docker-content-digest", digest())], "")).await;
    assert_eq!(fake.resolve("team/x:1", None).await, Ok(digest()));
    assert_eq!(fake.seen(), [("HEAD".into(), "/v2/team/x/manifests/1".into(), String::new())]);
}

#[tokio::test]
async fn a_challenge_leads_to_a_token_and_the_token_to_the_digest() {
    let fake = Fake::start(|(_, path, authorization), own| {
        if path.starts_with("/token?") {
            let body = if authorization == BASIC { r#"{"token":"t0ken"}"# } else { r#"{"access_token":"anybody"}"# };
            return answer(StatusCode::OK, &[], body);
        }
        match authorization.as_str() {
            "Bearer t0ken" => answer(StatusCode::OK, &[("docker-content-digest", digest())], ""),
            _ => {
                let realm = format!("Bearer realm=\"http://{own}/token\",service=\"reg\",scope=\"repository:x:pull\"");
                answer(StatusCode::UNAUTHORIZED, &[("www-authenticate", realm)], "")
            }
        }
    })
    .await;
    assert_eq!(fake.resolve("x", Some(&login())).await, Ok(digest()));
    let token = "/token?service=reg&scope=repository%3Ax%3Apull";
    assert_eq!(
        fake.seen(),
        [
            ("HEAD".into(), "/v2/x/manifests/latest".into(), String::new()),
            ("GET".into(), token.into(), BASIC.into()),
            ("HEAD".into(), "/v2/x/manifests/latest".into(), "Bearer t0ken".into()),
        ]
    );
    // Without a login there is a token as well, and it is good for nothing.
    let denied = fake.resolve("x", None).await;
    assert!(matches!(denied, Err(ResolveError::Denied { .. })), "{denied:?}");
}

#[tokio::test]
async fn a_password_is_shown_only_to_who_asks_for_it() {
    let fake = Fake::start(|(_, _, authorization), _| match authorization.as_str() {
        BASIC => answer(StatusCode::OK, &[("docker-content-digest", digest())], ""),
        _ => answer(StatusCode::UNAUTHORIZED, &[("www-authenticate", "Basic realm=\"r\"".to_owned())], ""),
    })
    .await;
    assert_eq!(fake.resolve("x:1", Some(&login())).await, Ok(digest()));
    assert_eq!(fake.seen()[0].2, "", "the first question shows nothing");
    let wrong = RegistryLogin { password: "guessed".into(), ..login() };
    for login in [None, Some(&wrong)] {
        let denied = fake.resolve("x:1", login).await.unwrap_err();
        assert!(matches!(denied, ResolveError::Denied { .. }), "{denied}");
        assert!(!denied.to_string().contains("guessed"), "{denied}");
    }
}

#[tokio::test]
async fn no_token_is_fetched_in_the_clear_from_elsewhere() {
    let fake = Fake::start(|_, _| {
        let realm = "Bearer realm=\"http://tokens.example/token\"".to_owned();
        answer(StatusCode::UNAUTHORIZED, &[("www-authenticate", realm)], "")
    })
    .await;
    let strange = fake.resolve("x", Some(&login())).await;
    assert!(matches!(&strange, Err(ResolveError::Strange { why, .. }) if why.contains("not encrypted")), "{strange:?}");
}

#[tokio::test]
async fn a_registry_that_names_no_digest_is_asked_for_the_content() {
    let fake = Fake::start(|(method, path, _), _| match (method.as_str(), path.contains("/typed/")) {
        ("HEAD", _) => answer(StatusCode::OK, &[], ""),
        (_, true) => answer(StatusCode::OK, &[("content-type", MANIFEST.to_owned())], "{}"),
        (_, false) => answer(StatusCode::OK, &[("content-type", "text/html".to_owned())], "<html>"),
    })
    .await;
    let of_braces = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(fake.resolve("typed/x", None).await.as_deref(), Ok(of_braces));
    let strange = fake.resolve("other/x", None).await;
    assert!(matches!(strange, Err(ResolveError::Strange { .. })), "a portal answers everything: {strange:?}");
}

#[tokio::test]
async fn every_other_answer_has_its_name() {
    let fake = Fake::start(|(_, path, _), own| {
        let status = |code| answer(StatusCode::from_u16(code).unwrap(), &[], "");
        match path.split('/').nth(2).unwrap() {
            "absent" => status(404),
            "forbidden" => status(403),
            "busy" => status(429),
            "broken" => status(503),
            "teapot" => status(418),
            "garbage" => answer(StatusCode::OK, &[("docker-content-digest", "sha256:nonsense".to_owned())], ""),
            "odd" => answer(StatusCode::UNAUTHORIZED, &[("www-authenticate", "\u{1f}?,=".replace('\u{1f}', " "))], ""),
            "moved" => {
                let to = format!("http://{own}/v2/there/manifests/latest");
                answer(StatusCode::TEMPORARY_REDIRECT, &[("location", to)], "")
            }
            "there" => answer(StatusCode::OK, &[("docker-content-digest", digest())], ""),
            "clear" => {
                let to = "http://elsewhere.example/v2/x/manifests/1".to_owned();
                answer(StatusCode::TEMPORARY_REDIRECT, &[("location", to)], "")
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let kind = async |path: &str| match fake.resolve(path, None).await {
        Ok(_) => "ok",
        Err(ResolveError::Name(_)) => "name",
        Err(ResolveError::NotFound { .. }) => "not found",
        Err(ResolveError::Denied { .. }) => "denied",
        Err(ResolveError::Unreachable { .. }) => "unreachable",
        Err(ResolveError::Strange { .. }) => "strange",
    };
    for (path, wanted) in [
        ("absent", "not found"),
        ("forbidden", "denied"),
        ("busy", "unreachable"),
        ("broken", "unreachable"),
        ("teapot", "strange"),
        ("garbage", "strange"),
        ("odd", "strange"),
        ("moved", "ok"),
        ("clear", "unreachable"),
        ("UPPER", "name"),
    ] {
        assert_eq!(kind(path).await, wanted, "{path}");
    }
    let nobody = Registries::new([]).resolve("127.0.0.1:1/x", None).await;
    assert!(matches!(nobody, Err(ResolveError::Unreachable { .. })), "{nobody:?}");
}
