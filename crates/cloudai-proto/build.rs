//! Compiles every file under /proto/cloudai/v1. Messages that `cloudai-types` defines itself stay its structs: a spec that
//! comes in by gRPC is the very struct that goes into the log.

use std::path::PathBuf;

/// What `types.proto` declares and `cloudai-types` owns.
const OWNED: [(&str, &str); 35] = [
    (".cloudai.v1.Quota", "::cloudai_types::quota::Quota"),
    (".cloudai.v1.QuotaChange", "::cloudai_types::quota::QuotaChange"),
    (".cloudai.v1.Resources", "::cloudai_types::resources::Resources"),
    (".cloudai.v1.OnDisconnect", "::cloudai_types::spec::OnDisconnect"),
    (".cloudai.v1.PullPolicy", "::cloudai_types::spec::PullPolicy"),
    (".cloudai.v1.Mount", "::cloudai_types::spec::Mount"),
    (".cloudai.v1.SecretKind", "::cloudai_types::secrets::SecretKind"),
    (".cloudai.v1.SecretUse", "::cloudai_types::secrets::SecretUse"),
    (".cloudai.v1.VolumeKind", "::cloudai_types::volume::VolumeKind"),
    (".cloudai.v1.Volume", "::cloudai_types::volume::Volume"),
    (".cloudai.v1.Placement", "::cloudai_types::placement::Placement"),
    (".cloudai.v1.Preference", "::cloudai_types::placement::Preference"),
    (".cloudai.v1.NearRule", "::cloudai_types::placement::NearRule"),
    (".cloudai.v1.JobSpec", "::cloudai_types::spec::JobSpec"),
    (".cloudai.v1.Condition", "::cloudai_types::workflow::Condition"),
    (".cloudai.v1.WorkflowSpec", "::cloudai_types::workflow::WorkflowSpec"),
    (".cloudai.v1.WorkflowNode", "::cloudai_types::workflow::WorkflowNode"),
    (".cloudai.v1.Dependency", "::cloudai_types::workflow::Dependency"),
    (".cloudai.v1.Overlap", "::cloudai_types::schedule::Overlap"),
    (".cloudai.v1.Missed", "::cloudai_types::schedule::Missed"),
    (".cloudai.v1.ScheduleSpec", "::cloudai_types::schedule::ScheduleSpec"),
    (".cloudai.v1.RunOutcome", "::cloudai_types::schedule::RunOutcome"),
    (".cloudai.v1.ScheduleRun", "::cloudai_types::schedule::ScheduleRun"),
    (".cloudai.v1.RetryAction", "::cloudai_types::retry::RetryAction"),
    (".cloudai.v1.RetryRule", "::cloudai_types::retry::RetryRule"),
    (".cloudai.v1.RetryRules", "::cloudai_types::retry::RetryRules"),
    (".cloudai.v1.ReasonKind", "::cloudai_types::reason::ReasonKind"),
    (".cloudai.v1.EndReason", "::cloudai_types::reason::EndReason"),
    (".cloudai.v1.Usage", "::cloudai_types::usage::Usage"),
    (".cloudai.v1.Results", "::cloudai_types::results::Results"),
    (".cloudai.v1.ResultFile", "::cloudai_types::results::ResultFile"),
    (".cloudai.v1.ScorePolicy", "::cloudai_types::config::ScorePolicy"),
    (".cloudai.v1.ClusterConfig", "::cloudai_types::config::ClusterConfig"),
    (".cloudai.v1.EventKind", "::cloudai_types::event_kind::EventKind"),
    (".cloudai.v1.WaitCause", "::cloudai_types::wait_cause::WaitCause"),
];

/// Messages that carry a secret's value: `secrets.rs` says what is printed of them.
const UNPRINTED: [&str; 5] = [
    ".cloudai.v1.SetSecretRequest",
    ".cloudai.v1.Secret",
    ".cloudai.v1.SecretsReply",
    ".cloudai.v1.RegistryLogin",
    ".cloudai.v1.JoinReply",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked for when it runs: clones share one target directory, and a path compiled in would be another clone's.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let folder = root.join("cloudai/v1");
    println!("cargo:rerun-if-changed={}", folder.display());
    println!("cargo:rerun-if-changed=build.rs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "proto"));
    files.sort();
    for f in &files {
        println!("cargo:rerun-if-changed={}", f.display());
    }

    let mut builder =
        tonic_prost_build::configure().bytes(".").btree_map(".").skip_debug(UNPRINTED).emit_rerun_if_changed(false);
    for (proto, rust) in OWNED {
        builder = builder.extern_path(proto, rust);
    }
    builder.compile_fds(protox::compile(&files, [&root])?)?;

    // The same types as generated code, for the test that holds both together.
    let twin = PathBuf::from(std::env::var("OUT_DIR")?).join("twin");
    std::fs::create_dir_all(&twin)?;
    let types = protox::compile([folder.join("types.proto")], [&root])?;
    tonic_prost_build::configure().btree_map(".").out_dir(twin).emit_rerun_if_changed(false).compile_fds(types)?;
    Ok(())
}
