//! Rows of templates. Comes in: nothing. Goes out: the records, with their protobuf tags. Which family they are of stands in
//! [`crate::rows::Family`].

/// A template, in what a list of them shows.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TemplateRow {
    /// Ascending, at most [`cloudai_types::limits::TEMPLATE_VERSIONS_MAX`]; never empty.
    #[prost(message, repeated, tag = "1")]
    pub versions: Vec<VersionInfo>,
    /// The number that the next version gets: those of deleted ones are not used again.
    #[prost(uint32, tag = "2")]
    pub next_version: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct VersionInfo {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
    /// Who made it.
    #[prost(string, tag = "3")]
    pub actor: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TemplateVersionRow {
    /// A job file with parameters, as it was written.
    #[prost(string, tag = "1")]
    pub document: String,
}
