//! Secrets and registry logins, by name. A value is in none of these.

use std::io::{self, Write};

use cloudai_proto::v1::{SecretInfo, SetSecretReply};
use serde::Serialize;

use crate::output::{Columns, View};
use crate::times::{ago, now_ms, rfc3339};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SecretView {
    pub name: String,
    pub namespace: String,
    /// How often it was set since it was made.
    pub version: u64,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    /// Who set it last.
    pub updated_by: String,
    #[serde(skip)]
    updated_ms: u64,
}

impl From<SecretInfo> for SecretView {
    fn from(s: SecretInfo) -> Self {
        SecretView {
            name: s.name,
            namespace: s.namespace,
            version: s.version,
            created_at: rfc3339(s.created_ms),
            updated_at: rfc3339(s.updated_ms),
            updated_by: s.actor,
            updated_ms: s.updated_ms,
        }
    }
}

/// `secret list`, `registry list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SecretList {
    #[serde(skip)]
    pub heading: &'static str,
    pub secrets: Vec<SecretView>,
}

impl View for SecretList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl SecretList {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let mut columns = Columns::new(&[self.heading, "VERSION", "SET", "BY"]);
        for s in &self.secrets {
            columns.row([s.name.clone(), s.version.to_string(), ago(s.updated_ms, now), s.updated_by.clone()]);
        }
        columns.write(out)
    }
}

/// What `secret set` and `registry login` say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetView {
    pub name: String,
    pub change: &'static str,
    pub version: u64,
    pub index: u64,
}

impl SetView {
    pub fn new(name: &str, change: &'static str, reply: SetSecretReply) -> Self {
        SetView { name: name.to_owned(), change, version: reply.version, index: reply.index }
    }
}

impl View for SetView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {}, version {}", self.name, self.change, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, write_view};
    use crate::views::sample::T0;

    fn list() -> SecretList {
        let secret = SecretInfo {
            namespace: "default".into(),
            name: "token".into(),
            created_ms: T0,
            updated_ms: T0 + 1_000,
            actor: "admin/ann".into(),
            version: 2,
        };
        SecretList { heading: "NAME", secrets: vec![secret.into()] }
    }

    #[test]
    fn a_list_in_json_is_the_contract() {
        let mut out = vec![];
        write_view(Format::Json, &list(), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value,
            serde_json::json!([{
                "name": "token", "namespace": "default", "version": 2, "created_at": "2026-09-21T14:13:20Z",
                "updated_at": "2026-09-21T14:13:21Z", "updated_by": "admin/ann",
            }])
        );
    }

    #[test]
    fn a_list_as_a_table() {
        let mut out = vec![];
        list().table_at(&mut out, T0 + 61_000).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME   VERSION  SET       BY\ntoken  2        1m0s ago  admin/ann\n"
        );
    }
}
