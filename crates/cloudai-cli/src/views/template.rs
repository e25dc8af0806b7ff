//! Templates: one in a list, one version with its parameters.

use std::io::{self, Write};

use cloudai_proto::v1::{GetTemplateReply, TemplateInfo};
use serde::Serialize;

use crate::input::template_file::{Parameter, Template};
use crate::output::{Columns, View, facts};
use crate::times::{ago, now_ms, rfc3339};

/// `template create`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreatedView {
    pub name: String,
    pub version: u32,
    /// False: the newest version says the same already.
    pub is_new: bool,
    pub index: u64,
}

impl View for CreatedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let CreatedView { name, version, is_new, .. } = self;
        if *is_new {
            writeln!(out, "{name}@{version} created")
        } else {
            writeln!(out, "{name}@{version} says the same already")
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionView {
    pub version: u32,
    pub created_at: Option<String>,
    pub created_by: String,
    #[serde(skip)]
    created_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateView {
    pub name: String,
    pub namespace: String,
    /// Oldest first.
    pub versions: Vec<VersionView>,
}

impl From<TemplateInfo> for TemplateView {
    fn from(t: TemplateInfo) -> Self {
        let version = |v: cloudai_proto::v1::TemplateVersion| VersionView {
            version: v.version,
            created_at: rfc3339(v.created_ms),
            created_by: v.actor,
            created_ms: v.created_ms,
        };
        TemplateView { name: t.name, namespace: t.namespace, versions: t.versions.into_iter().map(version).collect() }
    }
}

/// `template list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TemplateList(pub Vec<TemplateView>);

impl View for TemplateList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table_at(out, now_ms())
    }
}

impl TemplateList {
    fn table_at(&self, out: &mut dyn Write, now: u64) -> io::Result<()> {
        let mut columns = Columns::new(&["NAME", "NEWEST", "VERSIONS", "CREATED", "BY"]);
        for t in &self.0 {
            let Some(newest) = t.versions.last() else { continue };
            columns.row([
                t.name.clone(),
                newest.version.to_string(),
                t.versions.len().to_string(),
                ago(newest.created_ms, now),
                newest.created_by.clone(),
            ]);
        }
        columns.write(out)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParameterView {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Null: it needs a value.
    pub default: Option<String>,
    pub description: String,
}

impl From<Parameter> for ParameterView {
    fn from(p: Parameter) -> Self {
        ParameterView { name: p.name, kind: p.kind.name(), default: p.default, description: p.description }
    }
}

/// `template show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateDetail {
    #[serde(flatten)]
    pub template: TemplateView,
    /// The one that is shown.
    pub version: u32,
    /// In the order of the file; none where this program cannot read it.
    pub parameters: Vec<ParameterView>,
    pub document: String,
}

impl From<GetTemplateReply> for TemplateDetail {
    fn from(r: GetTemplateReply) -> Self {
        let parameters = Template::parse(&r.document).map_or(vec![], |template| template.parameters);
        TemplateDetail {
            template: r.template.unwrap_or_default().into(),
            version: r.version,
            parameters: parameters.into_iter().map(Into::into).collect(),
            document: r.document,
        }
    }
}

impl View for TemplateDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let shown = self.template.versions.iter().find(|v| v.version == self.version);
        let versions: Vec<String> = self.template.versions.iter().map(|v| v.version.to_string()).collect();
        let known = [
            ("template", format!("{}@{}", self.template.name, self.version)),
            ("namespace", self.template.namespace.clone()),
            ("versions", versions.join(", ")),
            ("created", shown.and_then(|v| v.created_at.clone()).unwrap_or_default()),
            ("by", shown.map(|v| v.created_by.clone()).unwrap_or_default()),
        ];
        facts(out, &known)?;
        if !self.parameters.is_empty() {
            writeln!(out)?;
            let mut columns = Columns::new(&["PARAMETER", "TYPE", "DEFAULT", "DESCRIPTION"]);
            for p in &self.parameters {
                let default = p.default.clone().unwrap_or_else(|| "(needed)".to_owned());
                columns.row([p.name.clone(), p.kind.to_owned(), default, p.description.clone()]);
            }
            columns.write(out)?;
        }
        writeln!(out, "\n{}", self.document.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample::T0;
    use cloudai_proto::v1::TemplateVersion;

    fn sweep() -> TemplateInfo {
        let version = |version, created_ms| TemplateVersion { version, created_ms, actor: "admin/ann".into() };
        TemplateInfo {
            namespace: "ml".into(),
            name: "sweep".into(),
            versions: vec![version(1, T0), version(3, T0 + 9_000)],
        }
    }

    #[test]
    fn a_list_as_a_table() {
        let mut out = vec![];
        TemplateList(vec![sweep().into()]).table_at(&mut out, T0 + 70_000).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME   NEWEST  VERSIONS  CREATED   BY\nsweep  3       2         1m1s ago  admin/ann\n"
        );
    }

    #[test]
    fn one_version_with_its_parameters() {
        let document = "image: busybox\ngpu: ${{ gpus }}\nenv: {WHO: '${{ who }}'}\nparameters:\n  gpus: {type: integer, default: 1}\n  who: {description: for people}\n";
        let reply = GetTemplateReply { template: Some(sweep()), version: 1, document: document.into(), read: None };
        let detail = TemplateDetail::from(reply);
        let mut out = vec![];
        detail.table(&mut out).unwrap();
        let expected = format!(
            "\
template:   sweep@1
namespace:  ml
versions:   1, 3
created:    2026-09-21T14:13:20Z
by:         admin/ann

PARAMETER  TYPE     DEFAULT   DESCRIPTION
gpus       integer  1
who        string   (needed)  for people

{document}"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let json = serde_json::to_value(&detail).unwrap();
        assert_eq!((&json["name"], &json["version"]), (&"sweep".into(), &1.into()));
        assert_eq!(
            json["parameters"][1],
            serde_json::json!({"name": "who", "type": "string", "default": null, "description": "for people"})
        );
    }
}
