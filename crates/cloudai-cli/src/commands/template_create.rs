//! `template create`: checks a template's file, and stores it as a new version.

use std::path::PathBuf;

use cloudai_proto::v1::CreateTemplateRequest;
use cloudai_types::spec;

use crate::exit::Failure;
use crate::input::template_file;
use crate::output::show;
use crate::settings::Settings;
use crate::views::template::CreatedView;

#[derive(Debug, Clone, clap::Args)]
pub struct CreateArgs {
    /// Its name; default: the job's or workflow's name in the file
    name: Option<String>,
    /// The template's file; `-` is standard input. See `cloudai help template-file`
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

pub async fn run(settings: &Settings, args: &CreateArgs) -> Result<(), Failure> {
    let template = template_file::read(&args.file)?;
    let name = args.name.clone().or(template.name).ok_or_else(|| {
        Failure::invalid("the template has no name")
            .next("write `cloudai template create NAME -f FILE`, or `name:` in the file")
    })?;
    spec::check_name(&name).map_err(|why| Failure::invalid(format!("the template's name {why}")))?;
    let namespace = match settings.namespace.as_str() {
        "" => template.namespace.unwrap_or_default(),
        named => named.to_owned(),
    };
    let request = CreateTemplateRequest { namespace, name: name.clone(), document: template.text };
    let reply = settings.client()?.create_template(request).await?;
    show(settings.format, &CreatedView { name, version: reply.version, is_new: reply.is_new, index: reply.index })
}
