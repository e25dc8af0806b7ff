//! One moving line on a terminal's stderr while something is waited for; nothing elsewhere.

use std::io::IsTerminal;

pub struct WaitLine(Option<indicatif::ProgressBar>);

impl WaitLine {
    pub fn new() -> Self {
        let style = indicatif::ProgressStyle::with_template("{spinner} {msg}");
        let spinner = std::io::stderr().is_terminal().then(indicatif::ProgressBar::new_spinner);
        WaitLine(spinner.zip(style.ok()).map(|(spinner, style)| spinner.with_style(style)))
    }

    pub fn show(&self, text: &str) {
        if let Some(spinner) = &self.0 {
            spinner.set_message(text.to_owned());
            spinner.tick();
        }
    }

    pub fn clear(&self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}
