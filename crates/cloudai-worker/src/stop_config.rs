//! What a worker does with its tasks when it is asked to stop, as its operator writes it.

use cloudai_types::{Millis, limits};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMode {
    /// Its containers go on, and its next start adopts them: a restart or an upgrade stops no task.
    #[default]
    Leave,
    /// It takes no new tasks, waits for those that run, and ends when every ending is acknowledged.
    Drain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    pub mode: StopMode,
    /// With `drain`: what still runs after so many seconds is stopped, and goes elsewhere; 0: it may finish.
    pub deadline_secs: u64,
}

impl StopConfig {
    /// As without a word about it.
    pub fn is_usual(&self) -> bool {
        *self == StopConfig::default()
    }

    /// How long what runs may go on; `None`: until it ends.
    pub fn deadline(&self) -> Option<Millis> {
        (self.deadline_secs > 0).then(|| Millis(self.deadline_secs.saturating_mul(1_000)))
    }

    pub fn check(&self) -> Result<(), String> {
        let max = limits::DRAIN_DEADLINE_MAX.0 / 1_000;
        if self.deadline_secs > max {
            return Err(format!("deadline_secs is {}; {max} are allowed, and 0 for no deadline", self.deadline_secs));
        }
        if self.mode == StopMode::Leave && self.deadline_secs > 0 {
            return Err("deadline_secs is for mode = \"drain\"; with \"leave\" nothing is stopped".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_containers_go_on() {
        let usual: StopConfig = toml::from_str("").unwrap();
        assert!(usual.is_usual() && usual.check().is_ok());
        let drain: StopConfig = toml::from_str("mode = \"drain\"\ndeadline_secs = 90").unwrap();
        assert_eq!((drain.mode, drain.deadline(), drain.check()), (StopMode::Drain, Some(Millis(90_000)), Ok(())));
        assert!(StopConfig { mode: StopMode::Leave, deadline_secs: 1 }.check().is_err());
        assert!(StopConfig { mode: StopMode::Drain, deadline_secs: u64::MAX }.check().is_err());
        assert!(toml::from_str::<StopConfig>("mode = \"run\"").is_err());
    }
}
