//! `secret remove`: a secret is there no more. Tasks that run have it already.

use cloudai_proto::v1::RemoveSecretRequest;
use cloudai_types::SecretKind;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct RemoveArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &RemoveArgs) -> Result<(), Failure> {
    remove(settings, SecretKind::Value, &args.name).await
}

pub async fn remove(settings: &Settings, kind: SecretKind, name: &str) -> Result<(), Failure> {
    kind.check_name(name).map_err(|why| Failure::invalid(format!("the name {why}")))?;
    let request =
        RemoveSecretRequest { namespace: settings.namespace.clone(), kind: kind as i32, name: name.to_owned() };
    let reply = settings.client()?.remove_secret(request).await?;
    show(settings.format, &ChangeView::new(name, "removed", reply))
}
