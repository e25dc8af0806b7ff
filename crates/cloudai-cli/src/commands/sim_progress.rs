//! How far a long simulation is. Comes in: steps done. Goes out: a bar on stderr, where that is a terminal; nothing in a pipe, and nothing on
//! stdout ever.

use std::io::IsTerminal;

/// The clock is not asked at each of some million steps.
const STEPS_AT_ONCE: u64 = 1_024;

pub struct Progress {
    bar: Option<indicatif::ProgressBar>,
    /// Steps that the bar does not know of yet.
    pending: u64,
}

impl Progress {
    /// `what` is counted, in the plural.
    pub fn of(steps: u64, what: &str) -> Self {
        let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left {{wide_msg}}");
        let style = indicatif::ProgressStyle::with_template(&template);
        let bar = std::io::stderr().is_terminal().then(|| indicatif::ProgressBar::new(steps));
        Progress { bar: bar.zip(style.ok()).map(|(bar, style)| bar.with_style(style)), pending: 0 }
    }

    /// What is done now.
    pub fn on(&self, name: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
        }
    }

    pub fn step(&mut self) {
        self.pending += 1;
        if self.pending == STEPS_AT_ONCE {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if let Some(bar) = &self.bar {
            bar.inc(self.pending);
        }
        self.pending = 0;
    }
}

/// Whatever comes of it, the bar does not stay behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
