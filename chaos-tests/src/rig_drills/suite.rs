//! `chaos-tests run`: several drills, several rounds, one report. Comes in: arguments. Goes out: a table on stdout (or JSON), a page and
//! a JSON file, and whether everything passed.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::perform::perform;
use super::{ALL, Drill, Size};
use crate::rig::outcome::Verdict;
use crate::rig::{Report, page};
use crate::transcript::say;

#[derive(Debug, Clone, clap::Args)]
pub struct RunArguments {
    /// D01, D02, … or all
    #[arg(required = true)]
    which: Vec<String>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "full")]
    size: Size,
    /// Everything so often, each round with the next seed
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// A drill that may end as NOT RUN without failing the run (repeatable)
    #[arg(long = "allow-not-run", value_name = "ID")]
    allow_not_run: Vec<String>,
    /// Where drills.html and drills.json go
    #[arg(long, default_value = "target/drills", value_name = "DIR")]
    report: PathBuf,
    /// table or json
    #[arg(long, short, default_value = "table", value_parser = ["table", "json"])]
    output: String,
}

/// False when something failed; an error when the arguments are wrong or the report cannot be written.
pub fn run(arguments: &RunArguments) -> anyhow::Result<bool> {
    let chosen = chosen(&arguments.which)?;
    if arguments.output == "json" {
        // Data alone on stdout.
        crate::transcript::to_stderr();
    }
    let mut reports = vec![];
    for round in 0..arguments.rounds {
        for drill in &chosen {
            reports.push(perform(drill, arguments.size, arguments.seed + round));
            // After each: a run that is cut off leaves what it has.
            write(arguments, &reports)?;
        }
    }
    if arguments.output == "json" {
        println!("{}", serde_json::to_string_pretty(&reports).context("reports are JSON")?);
    } else {
        print!("{}", table(&reports));
    }
    say(format!("the page: {}", arguments.report.join("drills.html").display()));
    Ok(reports.iter().all(|r| held(r, &arguments.allow_not_run)))
}

fn chosen(which: &[String]) -> anyhow::Result<Vec<&'static Drill>> {
    if which.iter().any(|w| w == "all") {
        return Ok(ALL.iter().collect());
    }
    let find = |id: &String| ALL.iter().find(|d| d.id.eq_ignore_ascii_case(id));
    if let Some(unknown) = which.iter().find(|w| find(w).is_none()) {
        let ids: Vec<&str> = ALL.iter().map(|d| d.id).collect();
        bail!("there is no drill '{unknown}': choose from {}, or all", ids.join(", "));
    }
    Ok(which.iter().filter_map(find).collect())
}

fn held(report: &Report, allowed: &[String]) -> bool {
    match report.verdict {
        Verdict::Pass => true,
        Verdict::NotRun => allowed.iter().any(|id| report.id.eq_ignore_ascii_case(id)),
        Verdict::Fail | Verdict::Invalid => false,
    }
}

fn write(arguments: &RunArguments, reports: &[Report]) -> anyhow::Result<()> {
    let dir = &arguments.report;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let json = serde_json::to_string_pretty(reports).context("reports are JSON")?;
    std::fs::write(dir.join("drills.json"), json).context("drills.json cannot be written")?;
    std::fs::write(dir.join("drills.html"), page::html(reports)).context("drills.html cannot be written")
}

/// Measured against required, one line per row.
pub fn table(reports: &[Report]) -> String {
    let mut lines = vec![["DRILL", "WHAT", "MEASURED", "REQUIRED", ""].map(str::to_owned)];
    for r in reports {
        lines.push([
            format!("{} #{}", r.id, r.seed),
            r.name.clone(),
            String::new(),
            String::new(),
            r.verdict.word().into(),
        ]);
        for row in &r.rows {
            let word = match row.holds {
                Some(true) => "holds",
                Some(false) => "FAILS",
                None => "",
            };
            lines.push([String::new(), row.what.clone(), row.measured.clone(), row.required.clone(), word.into()]);
        }
        for note in &r.notes {
            lines.push([String::new(), format!("note: {note}"), String::new(), String::new(), String::new()]);
        }
    }
    let width = |column: usize| {
        let measured = lines.iter().filter(|l| !l[1].starts_with("note: ")).map(|l| l[column].chars().count());
        measured.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |l: &[String; 5]| {
        let cells: Vec<String> = l.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pass_and_an_allowed_absence_hold() {
        let mut report = Report::new("D03", "partition", Size::Short, 1);
        assert!(held(&report, &[]));
        for (verdict, allowed) in [(Verdict::NotRun, true), (Verdict::Invalid, false), (Verdict::Fail, false)] {
            report.verdict = verdict;
            assert!(!held(&report, &[]));
            assert_eq!(held(&report, &["d03".into()]), allowed);
        }
    }

    #[test]
    fn drills_are_found_by_their_ids_which_differ() {
        assert_eq!(chosen(&["d03".into()]).expect("it exists")[0].id, "D03");
        assert!(chosen(&["D99".into()]).err().expect("it does not exist").to_string().contains("D01"));
        let ids: std::collections::BTreeSet<&str> = ALL.iter().map(|d| d.id).collect();
        assert_eq!(ids.len(), ALL.len());
    }

    #[test]
    fn a_table_names_what_fails() {
        let mut report = Report::new("D01", "leader kill", Size::Full, 3);
        report.require("A1 lost", false, 2, 0);
        let text = table(&[report]);
        assert!(text.contains("D01 #3") && text.contains("FAIL") && text.contains("A1 lost"), "{text}");
    }
}
