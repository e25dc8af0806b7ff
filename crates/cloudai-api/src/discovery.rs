//! `/service-discovery`, in the form that Prometheus reads (`http_sd_configs`). Comes in: the members of the cluster. Goes out: one group for each, so
//! that each has labels of its own. Always the whole list; an empty one is `[]`.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Master,
    Worker,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Worker => "worker",
        }
    }
}

/// A process that has `/metrics`. Serialised as Prometheus wants it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// `HOST:PORT`.
    targets: [String; 1],
    /// `__meta_…`: for relabelling, and gone after it.
    labels: BTreeMap<&'static str, String>,
}

impl Target {
    pub fn new(role: Role, name: &str, address: &str) -> Self {
        let labels = [("__meta_cloudai_role", role.name()), ("__meta_cloudai_name", name)];
        Target {
            targets: [address.to_owned()],
            labels: labels.into_iter().map(|(label, value)| (label, value.to_owned())).collect(),
        }
    }
}
