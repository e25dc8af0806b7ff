//! `secret set`: a value is stored, sealed, under a name. It comes from a file, from standard input, or from a terminal that does not show it;
//! never as an argument, which everybody on the machine could read.

use std::path::PathBuf;

use cloudai_proto::v1::SetSecretRequest;
use cloudai_types::SecretKind;

use crate::exit::Failure;
use crate::input::secret_value;
use crate::output::show;
use crate::settings::Settings;
use crate::views::secret::SetView;

#[derive(Debug, Clone, clap::Args)]
pub struct SetArgs {
    name: String,
    /// Its bytes as they are in this file; `-` for standard input. Without: asked for on a terminal, otherwise standard input without
    /// its last line end
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

pub async fn run(settings: &Settings, args: &SetArgs) -> Result<(), Failure> {
    SecretKind::Value.check_name(&args.name).map_err(|why| Failure::invalid(format!("the name {why}")))?;
    let value = match &args.from_file {
        Some(path) => secret_value::of_file(path)?,
        None => secret_value::typed(&format!("Value of {}", args.name))?,
    };
    let request = SetSecretRequest {
        namespace: settings.namespace.clone(),
        kind: SecretKind::Value as i32,
        name: args.name.clone(),
        value: bytes::Bytes::from_owner(value),
        login: None,
    };
    let reply = settings.client()?.set_secret(request).await?;
    show(settings.format, &SetView::new(&args.name, "stored", reply))
}
