//! `template list`: which templates a namespace has.

use cloudai_proto::v1::ListTemplatesRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::template::TemplateList;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let request = ListTemplatesRequest { namespace: settings.namespace.clone(), consistency: settings.consistency() };
    let reply = settings.client()?.list_templates(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &TemplateList(reply.templates.into_iter().map(Into::into).collect()))
}
