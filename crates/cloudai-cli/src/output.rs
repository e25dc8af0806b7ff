//! What goes to stdout: one view, as a table, JSON, JSON lines or YAML. Comes in: serialisable views that know their table. Goes out:
//! text. Data only; what is said to people goes to stderr ([`say`]).

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    /// One document.
    Json,
    /// One line per item.
    Jsonl,
    Yaml,
    /// Rows with a header; for a few commands.
    Csv,
}

/// Something that can be shown.
pub trait View: Serialize {
    /// For people.
    fn table(&self, out: &mut dyn Write) -> io::Result<()>;

    /// The items of a list, for JSON lines; a single thing is its own only item.
    fn items(&self) -> Result<Vec<serde_json::Value>, serde_json::Error> {
        Ok(match serde_json::to_value(self)? {
            serde_json::Value::Array(items) => items,
            other => vec![other],
        })
    }

    /// For spreadsheets; most things are no table of numbers.
    fn csv(&self, _out: &mut dyn Write) -> Result<(), Failure> {
        Err(Failure::invalid("this command has no CSV form").next("use -o json, or none"))
    }
}

/// Prints one view.
pub fn show(format: Format, view: &impl View) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_view(format, view, &mut out)?;
    out.flush()?;
    Ok(())
}

pub fn write_view(format: Format, view: &impl View, out: &mut dyn Write) -> Result<(), Failure> {
    match format {
        Format::Table => view.table(out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, view).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Jsonl => {
            for item in view.items().map_err(io::Error::from)? {
                serde_json::to_writer(&mut *out, &item).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        Format::Yaml => {
            let text = serde_saphyr::to_string(view)
                .map_err(|e| Failure::failed("the output cannot be written as YAML").why(e))?;
            out.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                writeln!(out)?;
            }
        }
        Format::Csv => view.csv(out)?,
    }
    Ok(())
}

/// A table without lines: a header in capitals and columns two spaces apart.
pub struct Columns(comfy_table::Table);

impl Columns {
    pub fn new(header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).force_no_tty();
        table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
        table.set_header(header.iter().copied());
        Columns(table)
    }

    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.add_row(cells.into_iter().map(|c| one_line(&c.into())).collect::<Vec<_>>());
    }

    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in self.0.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, one pair per line.
pub fn facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    let known = || facts.iter().filter(|(_, v)| !v.is_empty());
    let width = known().map(|(n, _)| n.len()).max().unwrap_or(0) + 1;
    for (name, value) in known() {
        let name = format!("{name}:");
        writeln!(out, "{name:width$}  {}", value.replace('\n', &format!("\n{:width$}  ", "")))?;
    }
    Ok(())
}

/// `1 task`, `2 tasks`.
pub fn count(n: impl Into<u64>, one: &str) -> String {
    let n = n.into();
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// Texts of users and programs may hold line ends and control characters; a cell must not.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// To a person, on stderr. A stderr that is closed is nobody's problem.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_and_no_cell_breaks_a_line() {
        let mut c = Columns::new(&["NAME", "STATE"]);
        c.row(["a\nb", "Ready"]);
        c.row(["long-name", "x"]);
        let mut out = vec![];
        c.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME       STATE\na b        Ready\nlong-name  x\n");
    }

    #[test]
    fn what_has_no_csv_form_says_so() {
        #[derive(Serialize)]
        struct Words;
        impl View for Words {
            fn table(&self, _: &mut dyn Write) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = vec![];
        let refused = write_view(Format::Csv, &Words, &mut out).unwrap_err();
        assert_eq!((refused.code.number(), out.len()), (2, 0));
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let mut out = vec![];
        facts(&mut out, &[("id", "x".into()), ("nothing", String::new()), ("name", "y".into())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "id:    x\nname:  y\n");
    }
}
