//! What a process tells about its own state. Implemented by masters and workers; asked by the routes, often, so it answers from memory.

/// A reason for not being ready. All reasons are shown, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotReady {
    /// Stable, lower case, for programs: `no_leader`, `catching_up`.
    pub code: &'static str,
    /// For people: what is the case and what to do, in a sentence.
    pub detail: String,
}

pub trait Health: Send + Sync + 'static {
    /// False only when nothing but a restart helps: whoever watches `/livez` will do that.
    fn is_alive(&self) -> bool {
        true
    }

    /// Empty when this process can do its work.
    fn readiness(&self) -> Vec<NotReady>;

    /// The page for Prometheus, in its text format.
    fn metrics(&self) -> String;
}
