//! What keys do. Comes in: a key, and the model in its mode. Goes out: the changed model, and whether that was the end.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::top::draw;
use crate::top::input::Effect;
use crate::top::model::{Mode, Model, Page};

/// A filter longer than this finds nothing anyway.
const FILTER_CHARS_MAX: usize = 64;

/// What `?` shows.
pub const HELP: &str = "\
1 2 3 4          cluster, workers, queue, tasks
Tab, Shift-Tab   the next page, the one before
j k, arrows      the next row, the one before
PgDn PgUp        a page on, a page back
g G              the first row, the last
Enter            all that is known of the chosen row
/                only rows with these words; Esc: all again
s r              workers: another order; the other way round
Esc              back
q, Ctrl-C        end

CPU and MEMORY: what tasks hold of what there is.
CPU% and MEM%: what the machine uses. '-': nobody has said.
Grey is what was: maybe it is not so any more.";

pub fn on_key(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return vec![];
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && key.code == KeyCode::Char('c') {
        return vec![Effect::Quit];
    }
    match &mut model.mode {
        Mode::Filter => on_filter_key(model, key, control),
        Mode::Help => match key.code {
            KeyCode::Char('q') => return vec![Effect::Quit],
            _ => model.mode = Mode::Rows,
        },
        Mode::Details(_, top) => match key.code {
            KeyCode::Char('q') => return vec![Effect::Quit],
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left => leave(model),
            KeyCode::Char('j') | KeyCode::Down => *top = top.saturating_add(1),
            KeyCode::Char('k') | KeyCode::Up => *top = top.saturating_sub(1),
            KeyCode::Char('?') => model.mode = Mode::Help,
            code => {
                if let Some(page) = page(model, code) {
                    leave(model);
                    model.page = page;
                }
            }
        },
        Mode::Rows => return on_row_key(model, key, control),
    }
    vec![]
}

fn leave(model: &mut Model) {
    (model.mode, model.details) = (Mode::Rows, None);
}

/// Which page the key goes to.
fn page(model: &Model, code: KeyCode) -> Option<Page> {
    let count = Page::ALL.len();
    let at = model.page.number();
    match code {
        KeyCode::Tab | KeyCode::Right => Some(Page::ALL[(at + 1) % count]),
        KeyCode::BackTab | KeyCode::Left => Some(Page::ALL[(at + count - 1) % count]),
        KeyCode::Char(digit) => {
            let number = digit.to_digit(10)?.checked_sub(1)?;
            Page::ALL.get(number as usize).copied()
        }
        _ => None,
    }
}

fn on_row_key(model: &mut Model, key: KeyEvent, control: bool) -> Vec<Effect> {
    let fitting = isize::try_from(draw::rows_fitting(model).max(1)).unwrap_or(isize::MAX);
    match key.code {
        KeyCode::Char('q') => return vec![Effect::Quit],
        KeyCode::Char('d') if control => model.move_cursor(fitting / 2),
        KeyCode::Char('u') if control => model.move_cursor(-(fitting / 2)),
        KeyCode::Char('j') | KeyCode::Down => model.move_cursor(1),
        KeyCode::Char('k') | KeyCode::Up => model.move_cursor(-1),
        KeyCode::PageDown => model.move_cursor(fitting),
        KeyCode::PageUp => model.move_cursor(-fitting),
        KeyCode::Char('g') | KeyCode::Home => model.move_cursor(isize::MIN),
        KeyCode::Char('G') | KeyCode::End => model.move_cursor(isize::MAX),
        KeyCode::Char('?') | KeyCode::Char('h') => model.mode = Mode::Help,
        KeyCode::Char('/') => model.mode = Mode::Filter,
        KeyCode::Char('s') if model.page == Page::Workers => model.sort = model.sort.next(),
        KeyCode::Char('r') if model.page == Page::Workers => model.reversed = !model.reversed,
        KeyCode::Esc => model.filters[model.page.number()].clear(),
        KeyCode::Enter if !model.chosen().is_empty() => model.mode = Mode::Details(model.chosen().to_owned(), 0),
        code => {
            if let Some(page) = page(model, code) {
                model.page = page;
            }
        }
    }
    vec![]
}

fn on_filter_key(model: &mut Model, key: KeyEvent, control: bool) {
    let filter = &mut model.filters[model.page.number()];
    match key.code {
        KeyCode::Enter => model.mode = Mode::Rows,
        KeyCode::Esc => {
            filter.clear();
            model.mode = Mode::Rows;
        }
        KeyCode::Backspace => {
            filter.pop();
        }
        KeyCode::Char('u') if control => filter.clear(),
        KeyCode::Char(c) if !control && !c.is_control() && filter.chars().count() < FILTER_CHARS_MAX => filter.push(c),
        _ => {}
    }
}
