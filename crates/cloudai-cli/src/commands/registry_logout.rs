//! `registry logout`: a login is there no more.

use cloudai_types::SecretKind;

use crate::commands::secret_remove::remove;
use crate::exit::Failure;
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct LogoutArgs {
    #[arg(value_name = "HOST")]
    host: String,
}

pub async fn run(settings: &Settings, args: &LogoutArgs) -> Result<(), Failure> {
    remove(settings, SecretKind::RegistryLogin, &args.host).await
}
