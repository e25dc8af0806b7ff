//! A template gets a new version. What a document means is not known here: it is a text of a bounded size.

use cloudai_types::limits;

use super::out::Out;
use super::submit_job::{known_namespace, name_namespace};
use super::{check_name, cut};
use crate::command::CreateTemplate;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, TemplateRow, TemplateVersionRow, VersionInfo, named_key, template_version_key};

/// Again with the same document: the version that is there.
pub fn create_template(hot: &mut Hot, out: &mut Out, actor: String, command: CreateTemplate) -> Result<Reply, Refusal> {
    let CreateTemplate { namespace, name, document } = command;
    check_name(&name)?;
    if document.is_empty() || document.len() > limits::TEMPLATE_BYTES_MAX {
        let (bytes, most) = (document.len(), limits::TEMPLATE_BYTES_MAX);
        return Err(Refusal::InvalidValue(format!("a template has {bytes} bytes; 1 to {most} are allowed")));
    }
    let known = known_namespace(hot, &namespace)?;
    let earlier = known.and_then(|ns| out.read::<TemplateRow>(Family::Template, &named_key(ns, &name)));
    let held = known.and_then(|ns| hot.templates.get(&ns)).copied().unwrap_or(0);
    match &earlier {
        Some(row) if row.versions.len() >= limits::TEMPLATE_VERSIONS_MAX => {
            return Err(Refusal::TooMany(row.versions.len()));
        }
        None if held >= limits::TEMPLATES_OF_NAMESPACE_MAX => return Err(Refusal::TooMany(held as usize)),
        Some(_) | None => {}
    }
    let newest = earlier.as_ref().and_then(|row| row.versions.last()).map(|v| v.version);
    if let (Some(ns), Some(version)) = (known, newest) {
        let key = template_version_key(ns, &name, version);
        let said = out.read::<TemplateVersionRow>(Family::TemplateVersion, &key);
        if said.is_some_and(|row| row.document == document) {
            return Ok(Reply::TemplateCreated { version, is_new: false });
        }
    }

    let ns = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    if earlier.is_none() {
        hot.templates.insert(ns, held.saturating_add(1));
    }
    let mut row = earlier.unwrap_or(TemplateRow { versions: vec![], next_version: 1 });
    let version = row.next_version;
    row.next_version = version.saturating_add(1);
    row.versions.push(VersionInfo { version, created_ms: out.clock_ms, actor: cut(actor) });
    out.put(Family::Template, &named_key(ns, &name), &row);
    out.put(Family::TemplateVersion, &template_version_key(ns, &name, version), &TemplateVersionRow { document });
    Ok(Reply::TemplateCreated { version, is_new: true })
}
