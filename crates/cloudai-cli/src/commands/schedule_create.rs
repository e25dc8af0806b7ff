//! `schedule create`: a job that is submitted at times. The job comes from a file, or from a template that is filled in now.

use std::path::PathBuf;

use cloudai_proto::v1::CreateScheduleRequest;
use cloudai_types::{Missed, Overlap, ScheduleSpec, ValidJobSpec, spec};

use crate::commands::template_run::{self, Making};
use crate::exit::Failure;
use crate::input::reference::TemplateName;
use crate::input::{job_file, pairs};
use crate::output::show;
use crate::settings::Settings;
use crate::views::schedule::CreatedView;

#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("job").required(true))]
pub struct CreateArgs {
    name: String,
    /// Minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "TIMES")]
    cron: String,
    /// Whose clock that is: a name such as Europe/Paris
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// The job's file; `-` is standard input
    #[arg(short, long, value_name = "FILE", group = "job")]
    file: Option<PathBuf>,
    /// Or a template, as it is now
    #[arg(long, value_name = "NAME[@VERSION]", group = "job")]
    template: Option<TemplateName>,
    /// The value of a template's parameter (repeatable)
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = pairs::parse, conflicts_with = "file")]
    set: Vec<(String, String)>,
    /// When the run before has not ended: skip this one, allow both, or cancel-previous
    #[arg(long, value_name = "skip|allow|cancel-previous", value_parser = parse_overlap, default_value = "skip")]
    overlap: Overlap,
    /// When times passed without a leader, or while it was paused: skip them, run once for all, or run all (the last 100)
    #[arg(long, value_name = "skip|once|all", value_parser = parse_missed, default_value = "once")]
    missed: Missed,
    /// Replace what is there of this name; its runs are remembered
    #[arg(long)]
    replace: bool,
}

fn parse_overlap(text: &str) -> Result<Overlap, String> {
    let found = Overlap::ALL.into_iter().find(|overlap| overlap.name() == text);
    found.ok_or_else(|| format!("'{text}' is none of skip, allow and cancel-previous"))
}

fn parse_missed(text: &str) -> Result<Missed, String> {
    let found = Missed::ALL.into_iter().find(|missed| missed.name() == text);
    found.ok_or_else(|| format!("'{text}' is none of skip, once and all"))
}

pub async fn run(settings: &Settings, args: &CreateArgs) -> Result<(), Failure> {
    spec::check_name(&args.name).map_err(|why| Failure::invalid(format!("the schedule's name {why}")))?;
    // A mistake costs no round trip.
    let file = args.file.as_deref().map(job_file::read).transpose()?;
    let client = settings.client()?;
    let (job, of_file, template) = match (file, &args.template) {
        (Some(file), _) => {
            let wrong = |e: cloudai_types::SpecError| {
                let faults: Vec<String> = e.faults.iter().map(|f| format!("  {f}")).collect();
                Failure::invalid("the job spec is not valid").why(faults.join("\n"))
            };
            (ValidJobSpec::parse(file.spec).map_err(wrong)?.into_inner(), file.namespace, String::new())
        }
        (None, Some(name)) => {
            let (making, of) = template_run::filled(&client, settings, name, &args.set).await?;
            let Making::Job(job) = making else {
                return Err(Failure::invalid(format!("template {of} makes a workflow, and a schedule submits a job"))
                    .next("name a template of a job; or run the workflow from outside, with `cloudai template run`"));
            };
            (*job, None, of)
        }
        (None, None) => {
            return Err(Failure::invalid("a schedule needs a job").next("name a file with -f, or a template"));
        }
    };
    let namespace = match settings.namespace.as_str() {
        "" => of_file.unwrap_or_default(),
        named => named.to_owned(),
    };
    let spec = ScheduleSpec {
        cron: args.cron.clone(),
        zone: args.timezone.clone(),
        overlap: args.overlap as i32,
        missed: args.missed as i32,
        job,
        template,
    };
    let request = CreateScheduleRequest { namespace, name: args.name.clone(), spec: Some(spec), replace: args.replace };
    let reply = client.create_schedule(request).await?;
    show(settings.format, &CreatedView::new(&args.name, reply))
}
