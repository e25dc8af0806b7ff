//! `template show`: one version with its parameters, and which others there are.

use crate::commands::template_run::fetch;
use crate::exit::Failure;
use crate::input::reference::TemplateName;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::template::TemplateDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// Its name; with @VERSION that one, without the newest
    #[arg(value_name = "NAME[@VERSION]")]
    template: TemplateName,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let reply = fetch(&settings.client()?, settings, &args.template).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &TemplateDetail::from(reply))
}
