//! The folders of an attempt as mounts of its container: results to write, inputs to read.

use std::path::Path;
use std::sync::Arc;

use bollard::models::{Mount, MountType};
use cloudai_types::{EndReason, ReasonKind, results};

use super::{Shared, Start};

/// Made and filled, or why not.
pub async fn mounts(shared: &Arc<Shared>, start: &Start) -> Result<Vec<Mount>, EndReason> {
    let folders = shared.options.outputs.prepare(start.attempt, &start.spec).await?;
    let out = folders.out.iter().map(|source| mount(source, results::OUT_DIR, false));
    let inputs = folders.inputs.iter().map(|source| mount(source, results::IN_DIR, true));
    out.chain(inputs).collect::<Option<_>>().ok_or_else(|| {
        let text = "the worker's data directory has a name that is not UTF-8, so the engine cannot mount it";
        EndReason::new(ReasonKind::EngineError, text)
    })
}

fn mount(source: &Path, target: &str, read_only: bool) -> Option<Mount> {
    Some(Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_str()?.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Default::default()
    })
}
