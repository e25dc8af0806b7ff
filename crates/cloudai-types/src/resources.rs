//! What a task asks for and a worker has: CPU in thousandths, memory and storage in bytes, GPUs as a count.
//!
//! Texts such as `0.5`, `32m` and `1GiB` are parsed here, once.

use std::fmt;

/// An amount of each resource. As a request: zero means "none asked". As a capacity: what there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Resources {
    /// Thousandths of a CPU core.
    #[prost(uint64, tag = "1")]
    pub cpu_milli: u64,
    #[prost(uint64, tag = "2")]
    pub memory_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub storage_bytes: u64,
    #[prost(uint32, tag = "4")]
    pub gpus: u32,
}

/// The names of the dimensions, in the order of [`Resources::dimensions`].
pub const DIMENSIONS: [&str; 4] = ["cpu", "memory", "storage", "gpu"];

impl Resources {
    /// The amounts as numbers, in the order of [`DIMENSIONS`].
    pub fn dimensions(&self) -> [u64; 4] {
        [self.cpu_milli, self.memory_bytes, self.storage_bytes, u64::from(self.gpus)]
    }

    /// True when a request of `self` fits into `room`.
    pub fn fits(&self, room: &Resources) -> bool {
        self.cpu_milli <= room.cpu_milli
            && self.memory_bytes <= room.memory_bytes
            && self.storage_bytes <= room.storage_bytes
            && self.gpus <= room.gpus
    }

    /// `self + other`, at most the largest number: never a panic.
    #[must_use]
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            storage_bytes: self.storage_bytes.saturating_add(other.storage_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// `self - other`, at least zero: a worker may register again with less than it holds.
    #[must_use]
    pub fn minus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            storage_bytes: self.storage_bytes.saturating_sub(other.storage_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {}", Cpu(self.cpu_milli))?;
        write!(f, ", memory {}", Bytes(self.memory_bytes))?;
        if self.storage_bytes > 0 {
            write!(f, ", storage {}", Bytes(self.storage_bytes))?;
        }
        if self.gpus > 0 {
            write!(f, ", gpu {}", self.gpus)?;
        }
        Ok(())
    }
}

/// Prints thousandths of a core as cores: `0.5`, `2`.
pub struct Cpu(pub u64);
impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Prints bytes in the largest binary unit that keeps one decimal exact enough for people: `32.0 MiB`.
pub struct Bytes(pub u64);
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            Some((unit, shift)) => {
                let tenths = (u128::from(self.0) * 10) >> shift;
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("'{0}' is no number of CPUs: write for example 0.5, 2 or 500m (thousandths)")]
    Cpu(String),
    #[error("'{0}' is no size: write for example 512k, 32m, 1g or 4GiB (units of 1024)")]
    Size(String),
}

/// `0.5` → 500, `2` → 2000, `250m` → 250.
pub fn parse_cpu(text: &str) -> Result<u64, AmountError> {
    let wrong = || AmountError::Cpu(text.to_owned());
    let t = text.trim();
    if let Some(milli) = t.strip_suffix('m') {
        return milli.parse().map_err(|_| wrong());
    }
    let (whole, part) = t.split_once('.').unwrap_or((t, ""));
    if part.len() > 3 || (whole.is_empty() && part.is_empty()) || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: u64 = if part.is_empty() { 0 } else { format!("{part:0<3}").parse().map_err(|_| wrong())? };
    whole.checked_mul(1000).and_then(|w| w.checked_add(part)).ok_or_else(wrong)
}

/// `32m` → 33554432; units are powers of 1024, written k, m, g, t with an optional `b`, `i` or `ib`, in any case.
pub fn parse_size(text: &str) -> Result<u64, AmountError> {
    let wrong = || AmountError::Size(text.to_owned());
    let t = text.trim().to_ascii_lowercase();
    let digits = t.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(t.len());
    let (number, unit) = t.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.len() > 6 || part.is_empty() {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let numerator: u64 = part.parse().map_err(|_| wrong())?;
    let fraction = (u128::from(numerator) << shift) / 10u128.pow(part.len() as u32);
    whole.checked_mul(1 << shift).and_then(|w| w.checked_add(u64::try_from(fraction).ok()?)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_parse_and_print() {
        assert_eq!(parse_cpu("0.5"), Ok(500));
        assert_eq!(parse_cpu("2"), Ok(2000));
        assert_eq!(parse_cpu("250m"), Ok(250));
        assert_eq!(parse_cpu(".25"), Ok(250));
        for bad in ["", ".", "x", "-1", "0.0001", "1e3", "99999999999999999999"] {
            assert!(parse_cpu(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_size("32m"), Ok(32 << 20));
        assert_eq!(parse_size("256GiB"), Ok(256 << 30));
        assert_eq!(parse_size("1.5g"), Ok(3 << 29));
        assert_eq!(parse_size("17"), Ok(17));
        for bad in ["", "m", "1.5.2g", "5x", "-1", "1.", "99999999t", "999999999999999999999"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        let r = Resources { cpu_milli: 1500, memory_bytes: 3 << 29, storage_bytes: 0, gpus: 1 };
        assert_eq!(r.to_string(), "cpu 1.5, memory 1.5 GiB, gpu 1");
    }
}
