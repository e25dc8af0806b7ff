//! `template run`: fills a template in, and submits what comes of it: a job or a workflow like any other.

use cloudai_client::Client;
use cloudai_proto::v1::{GetTemplateReply, GetTemplateRequest, SubmitRequest, SubmitWorkflowRequest};
use cloudai_types::{JobId, JobSpec, RequestId, ValidJobSpec, WorkflowId, WorkflowSpec};

use crate::exit::Failure;
use crate::input::pairs;
use crate::input::reference::TemplateName;
use crate::input::template_file::{Made, Template};
use crate::output::{say, show};
use crate::settings::Settings;
use crate::submitting::Submitting;
use crate::views::job::SubmittedView;
use crate::views::workflow::SubmittedWorkflowView;

#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Its name; with @VERSION that one, without the newest
    #[arg(value_name = "NAME[@VERSION]")]
    template: TemplateName,
    /// The value of a parameter (repeatable)
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = pairs::parse)]
    set: Vec<(String, String)>,
    /// The same key is the same job or workflow, however often it is sent within 24 h
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub async fn run(settings: &Settings, args: &RunArgs) -> Result<(), Failure> {
    let key = match &args.idempotency_key {
        Some(key) => key.parse::<RequestId>().map_err(|e| Failure::invalid(e.to_string()))?.into_string(),
        None => cloudai_client::request_id(),
    };
    let submitting = Submitting::begin(settings)?;
    let (making, _) = filled(submitting.client(), settings, &args.template, &args.set).await?;
    let namespace = settings.namespace.clone();
    // Without a key of the user's own, it was this very command that asked twice, around a change of leader.
    let tell_if_known = |duplicate: bool, what: &str| {
        if duplicate && args.idempotency_key.is_some() {
            say(format!("the key {key} is known: this is the {what} of the first time"));
        }
    };
    let spec = match making {
        Making::Job(spec) => *spec,
        Making::Workflow(workflow) => {
            let request = SubmitWorkflowRequest { request_id: key.clone(), namespace, workflow: Some(workflow) };
            let reply = submitting.client().submit_workflow(request).await;
            let reply = submitting.end(reply).await?;
            tell_if_known(reply.duplicate, "workflow");
            let id = WorkflowId(reply.workflow_id).to_string();
            let (jobs, duplicate) = (reply.jobs, reply.duplicate);
            return show(settings.format, &SubmittedWorkflowView { id, jobs, duplicate, idempotency_key: key });
        }
    };
    let request = SubmitRequest { request_id: key.clone(), namespace, spec: Some(spec) };
    let reply = submitting.client().submit(request).await;
    let reply = submitting.end(reply).await?;
    tell_if_known(reply.duplicate, "job");
    let id = JobId(reply.job_id).to_string();
    show(settings.format, &SubmittedView { id, duplicate: reply.duplicate, idempotency_key: key })
}

/// What is submitted.
pub enum Making {
    Job(Box<JobSpec>),
    Workflow(WorkflowSpec),
}

/// What a template of the namespace makes of these values, and the version that it was: `NAME@VERSION`.
pub async fn filled(
    client: &Client,
    settings: &Settings,
    name: &TemplateName,
    set: &[(String, String)],
) -> Result<(Making, String), Failure> {
    let reply = fetch(client, settings, name).await?;
    let of = format!("{}@{}", name.name, reply.version);
    let template = Template::parse(&reply.document).map_err(|why| {
        Failure::invalid(format!("template {of} cannot be read"))
            .why(why)
            .next("it may be of a newer cloudai: use that one")
    })?;
    let wrong = |why: String| {
        Failure::invalid(format!("template {of} makes nothing of these values"))
            .why(why)
            .next(format!("give values with --set PARAMETER=VALUE; `cloudai template show {of}` lists the parameters"))
    };
    let file = match template.fill(&pairs::map(set)).map_err(wrong)? {
        Made::Job(file) => *file,
        Made::Workflow(file) => return Ok((Making::Workflow(file.spec), of)),
    };
    // The same check as the masters', so that a mistake costs no round trip.
    let spec = ValidJobSpec::parse(file.spec)
        .map_err(|e| wrong(e.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    Ok((Making::Job(Box::new(spec.into_inner())), of))
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
