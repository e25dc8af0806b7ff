//! `job validate`: the checks of a submit, without sending anything.

use std::io::{self, Write};

use cloudai_types::JobSpec;
use serde::Serialize;

use crate::exit::Failure;
use crate::input::job_flags::{self, JobFlags, ManyFlags};
use crate::output::{View, count, show};
use crate::settings::Settings;
use crate::views::spec::SpecView;

#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub job: JobFlags,
    #[command(flatten)]
    pub many: ManyFlags,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ValidView {
    valid: bool,
    spec: SpecView,
    #[serde(skip)]
    asks: String,
}

impl View for ValidView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let s = &self.spec;
        writeln!(out, "valid: {} of {} ({} each)", count(s.count, "task"), s.image, self.asks)
    }
}

pub fn run(settings: &Settings, args: &ValidateArgs) -> Result<(), Failure> {
    let request = job_flags::request(&args.job, &args.many, &settings.namespace)?;
    let spec: JobSpec = request.spec.unwrap_or_default();
    let asks = spec.resources.to_string();
    show(settings.format, &ValidView { valid: true, spec: spec.into(), asks })
}
