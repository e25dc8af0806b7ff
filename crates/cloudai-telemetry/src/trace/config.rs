//! What an operator says about traces. Comes in: the table `[tracing]` of a configuration. Goes out: checked values. Off when nothing is said.

use cloudai_types::limits;
use serde::{Deserialize, Serialize};

/// What a link's template has in the place of the trace.
const TRACE_ID: &str = "{trace_id}";

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfig {
    /// Where spans go, OTLP over gRPC: `http://HOST:4317`. Empty: nowhere, and nothing is traced.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// The share of submits without a trace of their own that begin one, from 0 to 1.
    pub ratio: f64,
    /// So many of them in a second at most, at each master.
    pub new_per_second: u32,
    /// Where people look at a trace: an address with `{trace_id}` in it. Empty: no links are shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
}

impl Default for TracingConfig {
    fn default() -> Self {
        TracingConfig {
            endpoint: String::new(),
            ratio: 1.0,
            new_per_second: limits::TRACING_NEW_PER_SECOND,
            link: String::new(),
        }
    }
}

/// What is wrong with the table, with the field's name; or why its collector cannot be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TracingError {
    #[error(
        "endpoint: '{0}' is no address of a collector: write http://HOST:4317; for a collector behind TLS, run one on this machine that passes on"
    )]
    Endpoint(String),
    #[error("ratio: {0} is no share: write a number from 0 to 1")]
    Ratio(String),
    #[error("link: must have {TRACE_ID} in it, and at most {max} bytes", max = limits::TRACING_LINK_BYTES_MAX)]
    Link,
}

impl TracingConfig {
    /// Nobody has said anything.
    pub fn is_unset(&self) -> bool {
        *self == TracingConfig::default()
    }

    /// Everything that can be known without asking the collector.
    pub fn check(&self) -> Result<(), TracingError> {
        let host = self.endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let is_host = |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if !self.endpoint.is_empty() && !host.is_some_and(is_host) {
            return Err(TracingError::Endpoint(self.endpoint.chars().take(100).collect()));
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(TracingError::Ratio(self.ratio.to_string()));
        }
        let is_link = self.link.contains(TRACE_ID) && self.link.len() <= limits::TRACING_LINK_BYTES_MAX;
        if self.link.is_empty() || is_link { Ok(()) } else { Err(TracingError::Link) }
    }
}

/// Where people look at this trace; empty without a template.
pub fn link_to(template: &str, trace_id: &str) -> String {
    template.replace(TRACE_ID, trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_until_somebody_says_where_to() {
        let unset = TracingConfig::default();
        assert!(unset.is_unset() && unset.endpoint.is_empty() && unset.check().is_ok());
        assert_eq!((unset.ratio, unset.new_per_second), (1.0, limits::TRACING_NEW_PER_SECOND));
    }

    #[test]
    fn each_mistake_names_its_field() {
        let ok = TracingConfig {
            endpoint: "http://127.0.0.1:4317".to_owned(),
            link: "http://grafana/explore?trace={trace_id}".to_owned(),
            ..TracingConfig::default()
        };
        assert_eq!(ok.check(), Ok(()));
        assert_eq!(TracingConfig { endpoint: "http://[::1]:4317/".to_owned(), ..ok.clone() }.check(), Ok(()));
        let field = |c: TracingConfig| c.check().unwrap_err().to_string().split(':').next().unwrap().to_owned();
        for endpoint in ["127.0.0.1:4317", "https://tempo:4317", "http://", "http://a b", "http://a/v1/traces"] {
            assert_eq!(field(TracingConfig { endpoint: endpoint.to_owned(), ..ok.clone() }), "endpoint", "{endpoint}");
        }
        for ratio in [-0.1, 1.1, f64::NAN] {
            assert_eq!(field(TracingConfig { ratio, ..ok.clone() }), "ratio");
        }
        assert_eq!(field(TracingConfig { link: "http://grafana".to_owned(), ..ok.clone() }), "link");
        assert_eq!(field(TracingConfig { link: format!("{{trace_id}}{}", "x".repeat(9_999)), ..ok.clone() }), "link");
        assert_eq!(link_to(&ok.link, "0af7"), "http://grafana/explore?trace=0af7");
        assert_eq!(link_to("", "0af7"), "");
    }
}
