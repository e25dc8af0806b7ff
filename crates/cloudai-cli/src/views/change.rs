//! A change that was made: what, and at which log index.

use std::io::{self, Write};

use serde::Serialize;

use crate::output::View;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeView {
    /// The worker, master, job or setting that was changed.
    pub name: String,
    pub change: &'static str,
    pub index: u64,
    pub note: Option<String>,
}

impl ChangeView {
    pub fn new(name: impl Into<String>, change: &'static str, reply: cloudai_proto::v1::ChangeReply) -> Self {
        ChangeView {
            name: name.into(),
            change,
            index: reply.index,
            note: (!reply.note.is_empty()).then_some(reply.note),
        }
    }
}

impl View for ChangeView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let note = self.note.as_ref().map_or(String::new(), |n| format!(": {n}"));
        writeln!(out, "{} {}{note}", self.name, self.change)
    }
}
