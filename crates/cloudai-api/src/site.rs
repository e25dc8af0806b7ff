//! What a process serves over HTTP, put together once. Comes in: who knows the answers, and which pages of others may ask. Goes out: the parts that
//! routes share.

use std::sync::Arc;

use cloudai_types::limits;
use http::{HeaderMap, HeaderValue, Uri, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::health::Health;
use crate::live::Live;

/// Why an origin cannot be allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OriginError {
    #[error("cors_origins has {0} entries; {max} are allowed", max = limits::CORS_ORIGINS_MAX)]
    TooMany(usize),
    #[error(
        "'{0}' in cors_origins is no origin: write a scheme, a host and maybe a port, as in https://dashboard.example.org:8443"
    )]
    NoOrigin(String),
}

/// Pages of other hosts that may ask from a browser, as browsers name them: `https://HOST[:PORT]`.
#[derive(Clone, Default, Debug)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    pub fn parse(origins: &[String]) -> Result<Self, OriginError> {
        if origins.len() > limits::CORS_ORIGINS_MAX {
            return Err(OriginError::TooMany(origins.len()));
        }
        origins.iter().map(|origin| parse(origin)).collect::<Result<_, _>>().map(Origins)
    }

    pub(crate) fn allowed(&self) -> &[HeaderValue] {
        &self.0
    }

    /// Programs name no origin; a browser names the page that asks. Its own host's may, and those of the list.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let is_own = own.is_some_and(|own| origin.as_bytes() == format!("https://{own}").as_bytes());
        is_own || self.0.contains(origin)
    }
}

fn parse(origin: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError::NoOrigin(origin.chars().take(200).collect());
    let uri: Uri = origin.parse().map_err(|_| wrong())?;
    let has_both = uri.scheme().is_some() && uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    // Browsers send no path, not even a slash.
    match has_both && uri.path_and_query().is_none_or(|p| p == "/") && !origin.ends_with('/') {
        true => HeaderValue::from_str(&origin.to_ascii_lowercase()).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Site {
    pub(crate) health: Arc<dyn Health>,
    /// `None`: this process has nothing of the cluster to show.
    pub(crate) live: Option<Arc<dyn Live>>,
    pub(crate) origins: Arc<Origins>,
    sockets: Arc<Semaphore>,
    /// Closed when the process stops serving: WebSockets outlive the request that opened them.
    pub(crate) serving: watch::Receiver<()>,
    _serves: Arc<watch::Sender<()>>,
}

impl Site {
    pub fn new(health: Arc<dyn Health>) -> Self {
        let (serves, serving) = watch::channel(());
        Site {
            health,
            live: None,
            origins: Arc::default(),
            sockets: Arc::new(Semaphore::new(limits::WS_CLIENTS_MAX)),
            serving,
            _serves: Arc::new(serves),
        }
    }

    #[must_use]
    pub fn with_live(mut self, live: Arc<dyn Live>, origins: Origins) -> Self {
        (self.live, self.origins) = (Some(live), Arc::new(origins));
        self
    }

    /// A WebSocket's place; `None`: all are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.sockets.clone().try_acquire_owned().ok()
    }
}

impl<H: Health> From<Arc<H>> for Site {
    fn from(health: Arc<H>) -> Self {
        Site::new(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("m1.example.org:7600"))]);
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header's value"));
        }
        headers
    }

    #[test]
    fn pages_of_its_own_host_and_of_the_list_may_ask() {
        let origins = Origins::parse(&["https://Dash.example.org".to_owned()]).expect("an origin");
        for (origin, is_allowed) in [
            (None, true),
            (Some("https://m1.example.org:7600"), true),
            (Some("http://m1.example.org:7600"), false),
            (Some("https://dash.example.org"), true),
            (Some("https://dash.example.org:8443"), false),
            (Some("https://evil.example.org"), false),
            (Some("null"), false),
        ] {
            assert_eq!(origins.allow(&headers(origin)), is_allowed, "{origin:?}");
        }
    }

    struct Still;

    impl Health for Still {
        fn components(&self) -> Vec<crate::Component> {
            vec![]
        }

        fn metrics(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn websockets_have_so_many_places_and_give_them_back() {
        let site = Site::new(Arc::new(Still));
        let mut taken: Vec<_> = std::iter::repeat_with(|| site.place()).take_while(Option::is_some).collect();
        assert_eq!(taken.len(), limits::WS_CLIENTS_MAX);
        taken.pop();
        assert!(site.clone().place().is_some());
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for wrong in ["", "*", "dash.example.org", "https://a/", "https://a/b", "https://u@a", "/"] {
            let said = Origins::parse(&[wrong.to_owned()]).expect_err(wrong).to_string();
            assert!(said.starts_with(&format!("'{wrong}' in cors_origins is no origin")), "{said}");
        }
        let many = vec!["https://a".to_owned(); limits::CORS_ORIGINS_MAX + 1];
        assert_eq!(Origins::parse(&many).expect_err("too many"), OriginError::TooMany(many.len()));
    }
}
