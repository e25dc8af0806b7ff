//! `cluster config set`: one replicated setting.

use cloudai_proto::v1::SetConfigRequest;
use cloudai_types::ScorePolicy;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct SetArgs {
    #[arg(value_enum)]
    setting: Setting,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Setting {
    /// How the scheduler chooses among workers that fit: balanced, round_robin, binpack, greedy, alignment, fgd, cost
    ScorePolicy,
}

pub async fn run(settings: &Settings, args: &SetArgs) -> Result<(), Failure> {
    let (request, name) = match args.setting {
        Setting::ScorePolicy => {
            let policy: ScorePolicy = args
                .value
                .replace('-', "_")
                .parse()
                .map_err(|e: cloudai_types::config::UnknownPolicy| Failure::invalid(e.to_string()))?;
            (SetConfigRequest { score_policy: Some(policy as i32) }, format!("score-policy {}", policy.name()))
        }
    };
    let reply = settings.client()?.set_config(request).await?;
    show(settings.format, &ChangeView::new(name, "is set", reply))
}
