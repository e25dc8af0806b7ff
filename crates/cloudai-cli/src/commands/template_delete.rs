//! `template delete`: all versions, or one. Jobs and schedules that were made from them go on.

use cloudai_proto::v1::DeleteTemplateRequest;

use crate::exit::Failure;
use crate::input::reference::TemplateName;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct DeleteArgs {
    /// Its name; with @VERSION only that one
    #[arg(value_name = "NAME[@VERSION]")]
    template: TemplateName,
}

pub async fn run(settings: &Settings, args: &DeleteArgs) -> Result<(), Failure> {
    let TemplateName { name, version } = args.template.clone();
    let request = DeleteTemplateRequest { namespace: settings.namespace.clone(), name, version };
    let reply = settings.client()?.delete_template(request).await?;
    show(settings.format, &ChangeView::new(args.template.to_string(), "deleted", reply))
}
