//! `quota show`: what namespaces may have, and hold now.

use cloudai_proto::v1::ListQuotasRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::quota::QuotaList;
use crate::views::read;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// Only this one
    namespace: Option<String>,
    /// Also who of its users has what; those who run most come first
    #[arg(long)]
    users: bool,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let namespace = args.namespace.clone().unwrap_or_default();
    let request = ListQuotasRequest { namespace, users: args.users, consistency: settings.consistency() };
    let reply = settings.client()?.list_quotas(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    let namespaces = reply.namespaces.into_iter().map(Into::into).collect();
    show(settings.format, &QuotaList { namespaces, with_users: args.users })
}
