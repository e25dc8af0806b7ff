//! `cluster add`: a new master may join, once, with the token that this prints.

use cloudai_proto::v1::AddMasterRequest;

use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::worker::TokenView;

#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &AddArgs) -> Result<(), Failure> {
    cloudai_types::spec::check_name(&args.name).map_err(|why| Failure::invalid(format!("the name {why}")))?;
    let reply = settings.client()?.add_master(AddMasterRequest { name: args.name.clone() }).await?;
    say(format!(
        "{} may join with this token, once; it is not shown again. There, with an empty directory:\n  cloudai master --name {} --data-dir DIR --masters {} --join TOKEN",
        args.name,
        args.name,
        settings.addresses.join(",")
    ));
    show(settings.format, &TokenView { name: args.name.clone(), token: reply.token })
}
