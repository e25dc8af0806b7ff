//! Calls about templates. Comes in: requests whose caller is admitted. Goes out: commands to the proposer, answers from rows. What a document says is
//! not known here: whoever runs a template fills it in, and submits a job like any other.

use cloudai_core::command::{CreateTemplate, DeleteTemplate, Kind, TEMPLATES_SINCE};
use cloudai_core::rows::{Family, TemplateRow, TemplateVersionRow, named_key, template_version_key};
use cloudai_core::{Command, Hot, Reply};
use cloudai_proto::v1 as pb;
use cloudai_types::{limits, spec};
use prost::Message;
use tonic::Status;

use super::errors;
use super::secrets::named;
use super::workers::change;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn create<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::CreateTemplateRequest,
) -> Result<pb::CreateTemplateReply, Status> {
    require_templates(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let pb::CreateTemplateRequest { namespace, name, document } = request;
    let namespace = named(&namespace);
    check_names(&namespace, &name)?;
    let command = CreateTemplate { namespace, name, document };
    match node.proposer.propose(Command::new(actor, Kind::CreateTemplate(command))).await {
        Ok((index, Reply::TemplateCreated { version, is_new })) => {
            Ok(pb::CreateTemplateReply { index, version, is_new })
        }
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListTemplatesRequest,
) -> Result<pb::ListTemplatesReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let mut templates = vec![];
    if let Some(ns) = node.namespace(&state, &request.namespace) {
        let from = named_key(ns, "");
        let mut each = |key: &[u8], value: &[u8]| {
            let Some(name) = key.strip_prefix(from.as_slice()).and_then(|n| std::str::from_utf8(n).ok()) else {
                return false;
            };
            if let Ok(row) = TemplateRow::decode(value) {
                templates.push(info(&request.namespace, name, row));
            }
            templates.len() <= limits::TEMPLATES_OF_NAMESPACE_MAX as usize
        };
        let scanned = node.shared.store().scan(Family::Template, &from, None, false, &mut each);
        scanned.map_err(|e| errors::internal(&e))?;
    }
    Ok(pb::ListTemplatesReply { read: Some(read), templates })
}

pub async fn get<S: StateStore>(
    node: &Node<S>,
    request: pb::GetTemplateRequest,
) -> Result<pb::GetTemplateReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let (shown, name) = (named(&request.namespace), &request.name);
    let unknown = || {
        let what = format!("there is no template '{name}' in namespace '{shown}'");
        errors::not_found(what, "list them with `cloudai template list`")
    };
    let ns = node.namespace(&state, &request.namespace).ok_or_else(unknown)?;
    let row: Option<TemplateRow> =
        node.shared.row(&state, Family::Template, &named_key(ns, name)).map_err(|e| errors::internal(&e))?;
    let row = row.ok_or_else(unknown)?;
    let version = match request.version {
        0 => row.versions.last().map_or(0, |newest| newest.version),
        asked => asked,
    };
    let key = template_version_key(ns, name, version);
    let said: Option<TemplateVersionRow> =
        node.shared.row(&state, Family::TemplateVersion, &key).map_err(|e| errors::internal(&e))?;
    let said = said.ok_or_else(|| {
        let there: Vec<String> = row.versions.iter().map(|v| v.version.to_string()).collect();
        let next = format!("there are {}", there.join(", "));
        errors::not_found(format!("template '{name}' has no version {version}"), &next)
    })?;
    let template = info(&request.namespace, name, row);
    Ok(pb::GetTemplateReply { read: Some(read), template: Some(template), version, document: said.document })
}

pub async fn delete<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::DeleteTemplateRequest,
) -> Result<pb::ChangeReply, Status> {
    require_templates(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let pb::DeleteTemplateRequest { namespace, name, version } = request;
    let command = DeleteTemplate { namespace: named(&namespace), name, version };
    change(node, actor, Kind::DeleteTemplate(command), String::new()).await
}

fn info(namespace: &str, name: &str, row: TemplateRow) -> pb::TemplateInfo {
    let version = |v: cloudai_core::rows::VersionInfo| pb::TemplateVersion {
        version: v.version,
        created_ms: v.created_ms,
        actor: v.actor,
    };
    pb::TemplateInfo {
        namespace: named(namespace),
        name: name.to_owned(),
        versions: row.versions.into_iter().map(version).collect(),
    }
}

pub(super) fn check_names(namespace: &str, name: &str) -> Result<(), Status> {
    spec::check_name(namespace).map_err(|why| errors::invalid(format!("the namespace '{namespace}' {why}")))?;
    spec::check_name(name).map_err(|why| errors::invalid(format!("the name '{name}' {why}")))
}

/// The commands are of a newer format: masters of an older build would stop at them.
fn require_templates(hot: &Hot) -> Result<(), Box<pb::ErrorInfo>> {
    if hot.version >= TEMPLATES_SINCE {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and templates need {TEMPLATES_SINCE}", hot.version);
    let next = "a cluster that has just started is ready in a moment: try again; otherwise upgrade every master";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, "the cluster has no templates yet").why(why).next(next).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_format_has_no_templates_yet() {
        let hot = Hot { version: TEMPLATES_SINCE - 1, ..Hot::default() };
        assert!(require_templates(&hot).is_err_and(|e| e.what.contains("no templates yet")));
        assert!(require_templates(&Hot { version: TEMPLATES_SINCE, ..hot }).is_ok());
    }
}
