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
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let namespace = args.namespace.clone().unwrap_or_default();
    let request = ListQuotasRequest { namespace, consistency: settings.consistency() };
    let reply = settings.client()?.list_quotas(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &QuotaList(reply.namespaces.into_iter().map(Into::into).collect()))
}
