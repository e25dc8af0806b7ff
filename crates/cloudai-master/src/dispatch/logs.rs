//! What a worker answers to one who wants a log.

use cloudai_proto::v1 as pb;

#[derive(Debug)]
pub enum Upload {
    Frames(pb::UploadLogRequest),
    Failed { reason: String, not_found: bool },
}
