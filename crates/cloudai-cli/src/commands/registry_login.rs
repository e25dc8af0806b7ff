//! `registry login`: who may pull from a registry of images. The password is asked for, or comes from standard input; never as an argument.

use cloudai_proto::v1::{RegistryLogin, SetSecretRequest};
use cloudai_types::SecretKind;

use crate::exit::Failure;
use crate::input::secret_value;
use crate::output::show;
use crate::settings::Settings;
use crate::views::secret::SetView;

#[derive(Debug, Clone, clap::Args)]
pub struct LoginArgs {
    /// HOST or HOST:PORT, as image names begin; docker.io for those that name none
    #[arg(value_name = "HOST")]
    host: String,
    #[arg(long, short = 'u')]
    username: String,
    /// Read the password (or token) from standard input; without: asked for on a terminal
    #[arg(long)]
    password_stdin: bool,
}

pub async fn run(settings: &Settings, args: &LoginArgs) -> Result<(), Failure> {
    let kind = SecretKind::RegistryLogin;
    kind.check_name(&args.host).map_err(|why| Failure::invalid(format!("the registry {why}")))?;
    let value = match args.password_stdin {
        true => secret_value::of_standard_input()?,
        false => secret_value::typed(&format!("Password of {} at {}", args.username, args.host))?,
    };
    let password = std::str::from_utf8(&value).map_err(|_| Failure::invalid("the password is no text"))?.to_owned();
    if args.username.is_empty() || password.is_empty() {
        return Err(Failure::invalid("a login needs a username and a password"));
    }
    let request = SetSecretRequest {
        namespace: settings.namespace.clone(),
        kind: kind as i32,
        name: args.host.clone(),
        value: bytes::Bytes::new(),
        login: Some(RegistryLogin { username: args.username.clone(), password }),
    };
    let reply = settings.client()?.set_secret(request).await?;
    show(settings.format, &SetView::new(&args.host, "login stored", reply))
}
