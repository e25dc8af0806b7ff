//! What a process tells about its own state. Implemented by masters and workers; asked by the routes, often, so it answers from memory.

use std::time::Duration;

use crate::discovery::Target;

/// A reason for not being ready. All reasons are shown, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotReady {
    /// Stable, lower case, for programs: `no_leader`, `catching_up`.
    pub code: &'static str,
    /// For people: what is the case and what to do, in a sentence.
    pub detail: String,
}

/// A part of the process that must do its work, or the whole cannot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Component {
    /// Stable, lower case, for programs: `raft`, `storage`.
    pub name: &'static str,
    pub ready: bool,
    /// Stable, lower case; absent while it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// For people: how it is; where it is not ready, why and what to do.
    pub detail: String,
}

impl Component {
    pub fn good(name: &'static str, detail: String) -> Self {
        Component { name, ready: true, code: None, detail }
    }

    pub fn bad(name: &'static str, code: &'static str, detail: String) -> Self {
        Component { name, ready: false, code: Some(code), detail }
    }
}

pub trait Health: Send + Sync + 'static {
    /// False only when nothing but a restart helps: whoever watches `/livez` will do that.
    fn is_alive(&self) -> bool {
        true
    }

    /// Every part, also those that are ready. The process can do its work when all are.
    fn components(&self) -> Vec<Component>;

    /// The page for Prometheus, in its text format.
    fn metrics(&self) -> String;

    /// A request was answered. `route` is one of a closed list.
    fn answered(&self, route: &'static str, code: u16, took: Duration) {
        let _ = (route, code, took);
    }

    /// Where the members of the cluster have their metrics. `None`: this process does not know them.
    fn targets(&self) -> Option<Vec<Target>> {
        None
    }
}
