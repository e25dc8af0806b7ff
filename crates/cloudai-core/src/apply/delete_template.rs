//! A template goes, or one version of it. Jobs and schedules that were made from it have all they need.

use super::cut;
use super::out::Out;
use crate::command::DeleteTemplate;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, TemplateRow, named_key, template_version_key};

pub fn delete_template(hot: &mut Hot, out: &mut Out, command: DeleteTemplate) -> Result<Reply, Refusal> {
    let DeleteTemplate { namespace, name, version } = command;
    let known = hot.namespaces.get(&namespace).copied();
    let found = known.and_then(|ns| Some((ns, out.read::<TemplateRow>(Family::Template, &named_key(ns, &name))?)));
    let Some((ns, mut row)) = found else { return Err(Refusal::NoSuchTemplate(cut(name))) };
    let (gone, left): (Vec<_>, Vec<_>) =
        std::mem::take(&mut row.versions).into_iter().partition(|v| version == 0 || v.version == version);
    if gone.is_empty() {
        return Err(Refusal::NoSuchVersion(cut(name), version));
    }
    for v in gone {
        out.delete(Family::TemplateVersion, &template_version_key(ns, &name, v.version));
    }
    if left.is_empty() {
        out.delete(Family::Template, &named_key(ns, &name));
        let others = hot.templates.get(&ns).map_or(0, |held| held.saturating_sub(1));
        if others == 0 {
            hot.templates.remove(&ns);
        } else {
            hot.templates.insert(ns, others);
        }
    } else {
        out.put(Family::Template, &named_key(ns, &name), &TemplateRow { versions: left, ..row });
    }
    Ok(Reply::Done)
}
