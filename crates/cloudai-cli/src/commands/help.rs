//! `help`: a command's own help, or a topic.

use std::io::Write;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{Failure, TABLE};

#[derive(Debug, Clone, clap::Args)]
pub struct HelpArgs {
    /// A command such as `job submit`, or a topic: exit-codes, environment, job-file, workflow-file, template-file
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

const ENVIRONMENT: &str = "\
Environment (a flag wins over it; it wins over the settings file)
  CLOUDAI_ADDR         masters' gRPC addresses, HOST:PORT with commas between
  CLOUDAI_IDENTITY     directory with key.pem, cert.pem and ca.pem
  CLOUDAI_CACERT, CLOUDAI_CLIENT_CERT, CLOUDAI_CLIENT_KEY
                       the three files, when they lie apart
  CLOUDAI_NAMESPACE    namespace of the jobs
  CLOUDAI_OUTPUT       table, json, jsonl, yaml, or csv where a command has it
  CLOUDAI_RETRY        how long a request goes from master to master (default 30s)
  CLOUDAI_OTLP_ENDPOINT
                       collector of traces, http://HOST:4317; TRACEPARENT: the span that a submit is below
  CLOUDAI_CONFIG       the settings file; default ~/.config/cloudai/config.toml, then /etc/cloudai/config.toml
                       with addr = [\"HOST:PORT\"], identity = \"DIR\", namespace, output, otlp
  CLOUDAI_DEV_DIR      data directory of `cloudai dev`
  CLOUDAI_LOG          what servers log, for example info or cloudai_raft=debug,info";

const JOB_FILE: &str = "\
A job file (YAML or JSON) says what the flags of `job submit` say; unknown fields are errors.
  image: busybox              # the only field that is needed
  name: sweep                 # default: after the image
  namespace: default
  command: [sh, -c, \"echo $MODE\"]
  env: {MODE: fast}
  cpu: 0.5                    # or 500m
  memory: 32m                 # k, m, g, t: powers of 1024
  storage: 1g
  gpu: 0
  require: {zone: eu}         # labels that the worker must have, or expressions: [\"zone in (eu,us)\", \"!gpu\", \"cores>8\"]
  prefer: [{expression: disk=ssd, weight: 10}]  # workers that come first; see docs/placement.md
  tolerate: [gpu]             # taints that do not keep it away
  apart: worker               # no two of its tasks on one worker, or with the same value of a label
  spread: rack                # where the fewest of its tasks are; {label: rack, max_skew: 1} waits for that
  labels: {app: web}          # what rules of other jobs of the namespace know it by
  apart_from: [{jobs: app=db, over: worker}]      # no worker with a task of such a job; or over: a label such as rack
  together_with: [{jobs: app=cache, over: rack}]  # only in a rack with a task of such a job
  worker: worker-7            # only this one
  priority: 0                 # -1000 to 1000, higher first
  array: 0-999                # a thousand tasks; each finds its index in CLOUDAI_TASK_INDEX
  max_attempts: 3
  results: true               # /cloudai/out is stored when a task succeeds
  inputs: {raw: 3gk7q2zx/0}   # results of other tasks, in /cloudai/in/raw
  secrets: [token, \"key=env:KEY\"]  # by name, as files in /run/secrets or as variables; see docs/secrets.md
  processes_max: 4096         # processes and threads of one attempt at a time
  open_files: 16384           # of each of its processes
  shm: 16m                    # /dev/shm, counted within the memory
  timeout: 2s                 # of one attempt
  stop_signal: SIGTERM        # what asks it to stop: a name or a number
  grace: 10s                  # between that and SIGKILL
  user: 1000:1000             # default: the image's, if that is not root; otherwise 65534
  network: default            # none, default, or one that the worker's operator allows
  pull: missing               # when to ask the registry: always, missing, never
  writable_root: false        # true: it may write over its image's files, within its storage
  on_disconnect: continue     # or stop
  mounts: [\"/data:/input\"]    # read-only, or with :rw, if the worker's operator allowed the path
  volumes: [\"cache:/cache\", {tmpfs: 16m, target: /fast}]
                              # also {nfs: \"SERVER:/PATH\", target: /data, read_only: true}; see docs/volumes.md
  queue_timeout: 1h           # how long it may wait before its first attempt
  preemptible: true           # it may be stopped for a higher priority, if its namespace allows that
  gang: true                  # all tasks start together, or none does; where one fails, none goes on
  retry: {reasons: {out_of_memory: retry, signal: elsewhere}, delay: 5s, memory_factor: 1.5, memory_max: 1g}
                              # what follows a failed attempt, by its reason; see docs/retries.md";

const WORKFLOW_FILE: &str = "\
A workflow file (YAML or JSON) names jobs; each says what a job file says, and for whom it waits. See docs/workflows.md.
  name: nightly
  namespace: default
  jobs:
    load:
      image: busybox
      array: 0-9
      results: true
    train:
      image: busybox
      array: 0-9
      results: true
      depends_on: [{job: load, each: true}]   # its task 3 waits for task 3 of load
    report:
      image: busybox
      inputs: {model: \"@train/0/model.bin\"}  # whoever reads another's results waits for its success
      depends_on: [load]                      # the success of all of its tasks
    clean:
      image: busybox
      depends_on: [{job: train, on: failure}] # success, completion (it ends, however), or failure";

const TEMPLATE_FILE: &str = "\
A template file (YAML or JSON) is a job file or a workflow file with parameters, and ${{ NAME }} where their values go.
See docs/templates.md.
  name: sweep                 # also the template's name, unless `template create` is given another
  image: \"registry:5000/train:${{ tag }}\"
  command: [sh, -c, \"train --lr ${{ lr }} --out $OUT\"]
  memory: ${{ memory }}       # in [] and {} of YAML, between quotes
  parameters:
    tag: {description: which build}           # without a default it needs a value
    lr: {default: 0.1}
    memory: {type: bytes, default: 1g}        # string, integer, boolean, bytes, cpu or duration";

pub fn run(args: &HelpArgs) -> Result<(), Failure> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        ["exit-codes"] => format!("{TABLE}\n"),
        ["environment"] => format!("{ENVIRONMENT}\n"),
        ["job-file"] => format!("{JOB_FILE}\n"),
        ["workflow-file"] => format!("{WORKFLOW_FILE}\n"),
        ["template-file"] => format!("{TEMPLATE_FILE}\n"),
        words => {
            let mut command = Cli::command();
            command.build();
            let mut at = &mut command;
            for w in words {
                at = at.find_subcommand_mut(w).ok_or_else(|| {
                    Failure::invalid(format!("there is no command or topic '{}'", args.words.join(" "))).next(
                        "topics: exit-codes, environment, job-file, workflow-file, template-file; `cloudai help` lists the commands",
                    )
                })?;
            }
            at.render_long_help().to_string()
        }
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_file_of_the_help_is_valid() {
        let yaml: String = JOB_FILE.lines().skip(1).map(|l| format!("{}\n", l.trim_start())).collect();
        let file = crate::input::job_file::parse(&yaml).unwrap_or_else(|e| panic!("{e}"));
        cloudai_types::ValidJobSpec::parse(file.spec).unwrap();
    }

    #[test]
    fn the_workflow_file_of_the_help_is_valid() {
        let yaml: String = WORKFLOW_FILE.lines().skip(1).map(|l| format!("{l}\n")).collect();
        let file = crate::input::workflow_file::parse(&yaml).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(file.valid.nodes.len(), 4);
    }

    #[test]
    fn the_template_file_of_the_help_is_valid() {
        let yaml: String = TEMPLATE_FILE.lines().skip(2).map(|l| format!("{l}\n")).collect();
        let template = crate::input::template_file::Template::parse(&yaml).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(template.parameters.len(), 3);
    }

    #[test]
    fn unknown_topics_are_told() {
        assert_eq!(run(&HelpArgs { words: vec!["nonsense".into()] }).unwrap_err().code.number(), 2);
    }
}
