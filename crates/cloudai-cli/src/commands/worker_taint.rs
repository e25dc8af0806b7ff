//! `worker taint` and `worker untaint`: which tasks are kept from it, unless they tolerate that.

use cloudai_proto::v1::{TaintWorkerRequest, UntaintWorkerRequest};
use cloudai_types::placement::parse_taint;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct TaintArgs {
    name: String,
    /// In the place of a taint of the same name
    #[arg(value_name = "KEY[=VALUE]", value_parser = parse_taint)]
    taint: (String, String),
}

#[derive(Debug, Clone, clap::Args)]
pub struct UntaintArgs {
    name: String,
    /// The taint's name
    key: String,
}

pub async fn taint(settings: &Settings, args: &TaintArgs) -> Result<(), Failure> {
    let (key, value) = args.taint.clone();
    let reply = settings.client()?.taint_worker(TaintWorkerRequest { name: args.name.clone(), key, value }).await?;
    show(settings.format, &ChangeView::new(&args.name, "is tainted", reply))
}

pub async fn untaint(settings: &Settings, args: &UntaintArgs) -> Result<(), Failure> {
    let UntaintArgs { name, key } = args.clone();
    let reply = settings.client()?.untaint_worker(UntaintWorkerRequest { name, key }).await?;
    show(settings.format, &ChangeView::new(&args.name, "has lost the taint", reply))
}
