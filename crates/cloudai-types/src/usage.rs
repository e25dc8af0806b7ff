//! What an attempt used. Comes in: the kernel's counters, as far as the worker could read them. Goes out: one record that state, wire
//! and people share. How the numbers are obtained is not known here: see docs/endings.md.

/// Each number is absent where it is not known; 0 is a measured nothing. Wall time is not here: it follows from when the attempt began
/// and ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Usage {
    /// CPU time of all its processes, in microseconds, the engine's own work inside the container included.
    #[prost(uint64, optional, tag = "1")]
    pub cpu_micros: Option<u64>,
    /// The most memory that it held at a time, in bytes, its page cache included.
    #[prost(uint64, optional, tag = "2")]
    pub memory_peak_bytes: Option<u64>,
    /// Bytes read from disks; what came from the page cache is not counted.
    #[prost(uint64, optional, tag = "3")]
    pub read_bytes: Option<u64>,
    /// Bytes written to disks by its end.
    #[prost(uint64, optional, tag = "4")]
    pub written_bytes: Option<u64>,
    /// The most processes and threads that it had at a time.
    #[prost(uint64, optional, tag = "5")]
    pub processes_max: Option<u64>,
}

impl Usage {
    /// True when not one number is known.
    pub fn is_unknown(&self) -> bool {
        *self == Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn nothing_measured_is_not_the_same_as_not_known() {
        let measured = Usage { read_bytes: Some(0), ..Usage::default() };
        assert!(Usage::default().is_unknown() && !measured.is_unknown());
        assert_eq!(Usage::decode(measured.encode_to_vec().as_slice()), Ok(measured), "also on its way through bytes");
    }
}
