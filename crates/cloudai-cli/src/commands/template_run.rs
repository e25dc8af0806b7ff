//! `template run`: fills a template in, and submits what comes of it: a job like any other.

use cloudai_client::Client;
use cloudai_proto::v1::{GetTemplateReply, GetTemplateRequest, SubmitRequest};
use cloudai_types::{JobId, JobSpec, RequestId, ValidJobSpec};

use crate::exit::Failure;
use crate::input::pairs;
use crate::input::reference::TemplateName;
use crate::input::template_file::Template;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::job::SubmittedView;

#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Its name; with @VERSION that one, without the newest
    #[arg(value_name = "NAME[@VERSION]")]
    template: TemplateName,
    /// The value of a parameter (repeatable)
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = pairs::parse)]
    set: Vec<(String, String)>,
    /// The same key is the same job, however often it is sent within 24 h
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub async fn run(settings: &Settings, args: &RunArgs) -> Result<(), Failure> {
    let key = match &args.idempotency_key {
        Some(key) => key.parse::<RequestId>().map_err(|e| Failure::invalid(e.to_string()))?.into_string(),
        None => cloudai_client::request_id(),
    };
    let client = settings.client()?;
    let (spec, _) = filled(&client, settings, &args.template, &args.set).await?;
    let request = SubmitRequest { request_id: key.clone(), namespace: settings.namespace.clone(), spec: Some(spec) };
    let reply = client.submit(request).await?;
    // Without a key of the user's own, it was this very command that asked twice, around a change of leader.
    if reply.duplicate && args.idempotency_key.is_some() {
        say(format!("the key {key} is known: this is the job of the first time"));
    }
    let id = JobId(reply.job_id).to_string();
    show(settings.format, &SubmittedView { id, duplicate: reply.duplicate, idempotency_key: key })
}

/// The job that a template of the namespace makes of these values, and the version that it was: `NAME@VERSION`.
pub async fn filled(
    client: &Client,
    settings: &Settings,
    name: &TemplateName,
    set: &[(String, String)],
) -> Result<(JobSpec, String), Failure> {
    let reply = fetch(client, settings, name).await?;
    let of = format!("{}@{}", name.name, reply.version);
    let template = Template::parse(&reply.document).map_err(|why| {
        Failure::invalid(format!("template {of} cannot be read"))
            .why(why)
            .next("it may be of a newer cloudai: use that one")
    })?;
    let wrong = |why: String| {
        Failure::invalid(format!("template {of} makes no job of these values"))
            .why(why)
            .next(format!("give values with --set PARAMETER=VALUE; `cloudai template show {of}` lists the parameters"))
    };
    let file = template.fill(&pairs::map(set)).map_err(wrong)?;
    // The same check as the masters', so that a mistake costs no round trip.
    let spec = ValidJobSpec::parse(file.spec)
        .map_err(|e| wrong(e.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    Ok((spec.into_inner(), of))
}

pub async fn fetch(client: &Client, settings: &Settings, of: &TemplateName) -> Result<GetTemplateReply, Failure> {
    let request = GetTemplateRequest {
        namespace: settings.namespace.clone(),
        name: of.name.clone(),
        version: of.version,
        consistency: settings.consistency(),
    };
    Ok(client.get_template(request).await?)
}
