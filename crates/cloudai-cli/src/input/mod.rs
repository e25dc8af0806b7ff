//! What people give: job files, flags, references to jobs and tasks. Comes in: text. Goes out: domain types, checked once, or a failure
//! that says where the mistake is.

pub mod filled;
pub mod job_file;
pub mod job_flags;
pub mod pairs;
pub mod placement_text;
pub mod reference;
pub mod retry_flags;
pub mod secret_value;
pub mod template_file;
pub mod volume_text;
pub mod workflow_file;
