//! Tables that fit a terminal. Comes in: columns with a rank, rows of cells, a width. Goes out: lines of exactly that width. Where there is no
//! room the columns of the highest rank are left out, and never half of one shown: a number that is cut is a wrong number.

use ratatui::text::Span;

use crate::output::one_line;
use crate::top::theme::Tone;

/// Between two columns.
const GAP: usize = 2;

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// Numbers stand on the right.
    pub right: bool,
    /// It is cut where it is wider; names and sentences only.
    pub widest: usize,
    /// 0 stays; of the others the highest goes first.
    pub rank: u8,
    /// A sentence that is cut to no less than this before any column goes; None: it is shown as wide as it is.
    pub least: Option<usize>,
}

impl Column {
    pub const fn new(title: &'static str, right: bool, widest: usize, rank: u8) -> Column {
        Column { title, right, widest, rank, least: None }
    }
}

/// What a row is, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Tells it from the others, also after they were sorted anew.
    pub key: String,
    pub cells: Vec<String>,
    pub tone: Tone,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

impl Table {
    /// Only rows in which this is written; all, where it is empty.
    pub fn retain(&mut self, filter: &str) {
        let filter = filter.to_lowercase();
        if !filter.is_empty() {
            self.rows.retain(|row| row.cells.iter().any(|cell| cell.to_lowercase().contains(&filter)));
        }
    }

    /// Header first, then the rows `from..from + count`, as far as there are some.
    pub fn lines(&self, from: usize, count: usize, width: usize) -> Vec<String> {
        let widths = self.widths(width);
        let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
        let shown = self.rows.iter().skip(from).take(count).map(|row| &row.cells);
        [&titles].into_iter().chain(shown).map(|cells| self.line(cells, &widths, width)).collect()
    }

    fn line(&self, cells: &[String], widths: &[Option<usize>], width: usize) -> String {
        let mut line = String::new();
        for ((column, cell), wide) in self.columns.iter().zip(cells).zip(widths) {
            let Some(wide) = wide else { continue };
            if !line.is_empty() {
                line.push_str("  ");
            }
            line.push_str(&fitted(cell, *wide, column.right));
        }
        fitted(line.trim_end(), width, false)
    }

    /// Of each column; nothing for one that is left out.
    fn widths(&self, width: usize) -> Vec<Option<usize>> {
        let wanted = |(number, column): (usize, &Column)| {
            let cells =
                self.rows.iter().filter_map(|row| row.cells.get(number)).map(|cell| columns_of(&one_line(cell))).max();
            Some(cells.unwrap_or(0).min(column.widest).max(columns_of(column.title)))
        };
        let mut widths: Vec<Option<usize>> = self.columns.iter().enumerate().map(wanted).collect();
        loop {
            let shown = widths.iter().flatten();
            let sum = shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1);
            let mut over = sum.saturating_sub(width);
            let mut cut = widths.clone();
            for (wide, column) in cut.iter_mut().zip(&self.columns) {
                if let (Some(wide), Some(least)) = (wide, column.least) {
                    let less = over.min(wide.saturating_sub(least));
                    (*wide, over) = (*wide - less, over - less);
                }
            }
            if over == 0 {
                return cut;
            }
            let ranks = self.columns.iter().enumerate().filter(|(number, _)| widths[*number].is_some());
            match ranks.max_by_key(|(_, column)| column.rank).filter(|(_, column)| column.rank > 0) {
                Some((number, _)) => widths[number] = None,
                None => return cut,
            }
        }
    }
}

/// How many columns of a terminal it takes.
pub fn columns_of(text: &str) -> usize {
    Span::raw(text).width()
}

/// Of exactly this width, without anything that could move the cursor.
pub fn fitted(text: &str, width: usize, right: bool) -> String {
    let text = one_line(text);
    let has = columns_of(&text);
    if has <= width {
        let pad = " ".repeat(width - has);
        return if right { format!("{pad}{text}") } else { format!("{text}{pad}") };
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = columns_of(c.encode_utf8(&mut [0; 4]));
        // One column stays for the sign that something was cut.
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        cut.push(c);
    }
    if width > 0 {
        cut.push('~');
        used += 1;
    }
    format!("{cut}{}", " ".repeat(width - used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row =
            |cells: [&str; 3]| Row { key: cells[0].into(), cells: cells.map(Into::into).to_vec(), tone: Tone::Plain };
        Table {
            columns: vec![
                Column::new("NAME", false, 8, 0),
                Column::new("CPU", true, 9, 1),
                Column::new("NOTE", false, 9, 2),
            ],
            rows: vec![row(["a", "1/64", "fine"]), row(["a-very-long-name", "12/64", "z\u{1b}[2Jz"])],
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_whole_and_names_are_cut() {
        assert_eq!(
            table().lines(0, 9, 26),
            ["NAME        CPU  NOTE     ", "a          1/64  fine     ", "a-very-~  12/64  z [2Jz   "]
        );
        assert_eq!(table().lines(0, 9, 17), ["NAME        CPU  ", "a          1/64  ", "a-very-~  12/64  "]);
        assert_eq!(table().lines(1, 1, 9), ["NAME     ", "a-very-~ "]);
        assert_eq!(table().lines(7, 1, 4), ["NAME"]);
    }

    #[test]
    fn a_sentence_is_cut_before_a_column_goes() {
        let mut table = table();
        table.columns[2].least = Some(4);
        assert_eq!(table.lines(1, 1, 22), ["NAME        CPU  NOTE ", "a-very-~  12/64  z [2~"]);
        assert_eq!(table.lines(1, 1, 20), ["NAME        CPU     ", "a-very-~  12/64     "], "less would say nothing");
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        for width in 0..30 {
            for line in table().lines(0, 2, width) {
                assert_eq!(columns_of(&line), width, "'{line}'");
            }
        }
        assert_eq!(fitted("日本語", 5, false), "日本~");
        assert_eq!(fitted("日本語", 4, false), "日~ ");
    }

    #[test]
    fn a_filter_looks_at_every_cell() {
        let kept = |filter| {
            let mut table = table();
            table.retain(filter);
            table.rows.len()
        };
        assert_eq!((kept(""), kept("FINE"), kept("/64"), kept("nothing")), (2, 1, 2, 0));
    }
}
