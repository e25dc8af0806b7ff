//! `registry list`: at which registries there is a login. Passwords are shown by nothing.

use cloudai_types::SecretKind;

use crate::commands::secret_list::list;
use crate::exit::Failure;
use crate::settings::Settings;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    list(settings, SecretKind::RegistryLogin, "REGISTRY").await
}
