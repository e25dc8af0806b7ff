//! How things look. Comes in: what a text means. Goes out: a style; without colour (`NO_COLOR`) only weight and inversion carry it, and nothing
//! is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    /// Of less interest.
    Faint,
    Title,
    /// The row that keys are for.
    Selected,
    /// Something that must be seen.
    Banner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    pub colour: bool,
}

impl Theme {
    /// `old`: nobody knows whether it is still so.
    pub fn style(self, tone: Tone, old: bool) -> Style {
        let plain = Style::new();
        let coloured = |colour| if self.colour { plain.fg(colour) } else { plain };
        let old_style = || coloured(Color::DarkGray).add_modifier(Modifier::DIM);
        match tone {
            Tone::Banner => coloured(Color::Yellow).add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Tone::Selected if old => old_style().add_modifier(Modifier::REVERSED),
            Tone::Selected => plain.add_modifier(Modifier::REVERSED),
            _ if old => old_style(),
            Tone::Plain => plain,
            Tone::Good => coloured(Color::Green),
            Tone::Warn => coloured(Color::Yellow),
            Tone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Faint => plain.add_modifier(Modifier::DIM),
            Tone::Title => plain.add_modifier(Modifier::BOLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tone; 8] =
        [Tone::Plain, Tone::Good, Tone::Warn, Tone::Bad, Tone::Faint, Tone::Title, Tone::Selected, Tone::Banner];

    #[test]
    fn without_colour_there_is_none() {
        for tone in ALL {
            for old in [false, true] {
                let style = Theme { colour: false }.style(tone, old);
                assert_eq!((style.fg, style.bg), (None, None), "{tone:?}");
            }
        }
    }

    #[test]
    fn what_is_old_looks_so_and_a_banner_never_does() {
        let theme = Theme { colour: true };
        for tone in ALL {
            let dims = theme.style(tone, true).add_modifier.contains(Modifier::DIM);
            assert_eq!(dims, tone != Tone::Banner, "{tone:?}");
        }
    }
}
