//! `worker authorize`: a name may join, once, with the token that this prints.

use cloudai_proto::v1::AuthorizeWorkerRequest;

use crate::exit::Failure;
use crate::input::pairs;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::worker::TokenView;

#[derive(Debug, Clone, clap::Args)]
pub struct AuthorizeArgs {
    name: String,
    /// Label of the worker, for `--require` (repeatable); wins over what the worker says of itself
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::parse)]
    label: Vec<(String, String)>,
}

pub async fn run(settings: &Settings, args: &AuthorizeArgs) -> Result<(), Failure> {
    let labels = pairs::map(&args.label);
    cloudai_types::spec::check_name(&args.name).map_err(|why| Failure::invalid(format!("the name {why}")))?;
    cloudai_types::spec::check_labels(&labels).map_err(|why| Failure::invalid(format!("the labels: {why}")))?;
    let reply = settings.client()?.authorize_worker(AuthorizeWorkerRequest { name: args.name.clone(), labels }).await?;
    say(format!(
        "{} may join with this token, once; it is not shown again. There:\n  cloudai worker --data-dir DIR --masters {} --join TOKEN",
        args.name,
        settings.addresses.join(",")
    ));
    show(settings.format, &TokenView { name: args.name.clone(), token: reply.token })
}
