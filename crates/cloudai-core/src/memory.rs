//! Rows in memory: for tests, the simulation and tools. Comes in: the writes of [`crate::apply`]. Goes out: point reads and
//! scans. It knows bytes only.

use std::collections::BTreeMap;
use std::io;

use crate::rows::{Family, RowScan, Rows, Write};

/// All rows, by family and key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemRows {
    pub rows: BTreeMap<(Family, Vec<u8>), Vec<u8>>,
}

impl MemRows {
    /// Makes the writes of one entry readable.
    pub fn write(&mut self, writes: Vec<Write>) {
        for Write { family, key, value } in writes {
            match value {
                Some(value) => self.rows.insert((family, key), value),
                None => self.rows.remove(&(family, key)),
            };
        }
    }

    /// Keys of one family in order.
    pub fn keys(&self, family: Family) -> impl Iterator<Item = &[u8]> {
        self.family(family, &[]).map(|(key, _)| key)
    }

    fn family(&self, family: Family, from: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows
            .range((family, from.to_vec())..)
            .take_while(move |((f, _), _)| *f == family)
            .map(|((_, key), value)| (key.as_slice(), value.as_slice()))
    }
}

impl Rows for MemRows {
    fn get(&self, family: Family, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(&(family, key.to_vec())).cloned()
    }
}

impl RowScan for MemRows {
    fn scan(&self, family: Family, from: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let _ = self.family(family, from).all(|(key, value)| each(key, value));
        Ok(())
    }
}
