//! The Standard Workload Format, version 2.2: 18 columns per job, comments behind `;` (Feitelson, Parallel Workloads Archive).
//!
//! How the columns are read: the processors are those asked for (8), and where that is unknown those allocated (5); the limit is the requested
//! time (9), and where there is none the run time (4), as if everybody knew it; a job without run time or processors is left
//! out. Column 3, the wait on the recorded machine, is not ours to use.

use std::io::{self, Write};

use cloudai_types::limits;

use super::lines::Lines;
use super::{Draft, Job, ReadError, Trace, WriteError};

const COLUMNS: usize = 18;

pub fn read(lines: &mut Lines) -> Result<Trace, ReadError> {
    let (mut drafts, mut processors) = (vec![], None);
    while let Some((number, line)) = lines.next()? {
        let line = line.trim_start();
        if let Some(comment) = line.strip_prefix(';') {
            processors = processors.or_else(|| header(comment));
        } else if !line.is_empty() {
            if drafts.len() == limits::TRACE_JOBS_MAX {
                return Err(ReadError::TooManyJobs);
            }
            drafts.push(job(line).map_err(|what| ReadError::Line { line: number, what })?);
        }
    }
    Trace::of(drafts, processors)
}

/// `MaxProcs: 128`; logs of machines with one processor per node may say `MaxNodes` only.
fn header(comment: &str) -> Option<u32> {
    let (name, value) = comment.split_once(':')?;
    match name.trim() {
        "MaxProcs" | "MaxNodes" => value.trim().parse().ok().filter(|p| *p > 0),
        _ => None,
    }
}

fn job(line: &str) -> Result<Draft, String> {
    let mut columns = [-1i64; COLUMNS];
    let mut found = 0;
    for text in line.split_ascii_whitespace() {
        let column = columns.get_mut(found).ok_or_else(|| format!("it has more than {COLUMNS} columns"))?;
        found += 1;
        // Column 6, the average CPU time, may have decimals.
        *column = text
            .parse::<i64>()
            .or_else(|e| text.parse::<f64>().map(|f| f as i64).map_err(|_| e))
            .map_err(|_| format!("column {found} is no number: '{text}'"))?;
    }
    if found < COLUMNS {
        return Err(format!("it has {found} columns instead of {COLUMNS}"));
    }
    let of = |column: usize| u64::try_from(columns[column - 1]).unwrap_or(0);
    let width = if of(8) > 0 { of(8) } else { of(5) };
    let processors = u32::try_from(width).map_err(|_| format!("{width} processors are more than any machine has"))?;
    let (run_s, limit_s) = (of(4), of(9));
    if columns[0] < 0 || columns[1] < 0 {
        return Err("a job needs an id and a time of submission that are not negative".to_owned());
    }
    let requested_s = if limit_s > 0 { limit_s } else { run_s };
    let job = Job {
        id: of(1),
        submit_s: of(2),
        run_s,
        requested_s,
        processors,
        user: of(12),
        deadline_s: None,
        parents: vec![],
    };
    Ok(Draft { job, parents: vec![] })
}

/// Writes a trace with `notes` in its header, one per line.
pub fn write(trace: &Trace, notes: &[String], out: &mut dyn Write) -> Result<(), WriteError> {
    if trace.jobs.iter().any(|job| !job.parents.is_empty() || job.deadline_s.is_some()) {
        return Err(WriteError::NoColumn);
    }
    header_lines(trace, notes, out)?;
    for job in &trace.jobs {
        let Job { id, submit_s, run_s, requested_s, processors, user, .. } = job;
        // Unknown is -1: the wait, CPU time, memory, group and what follows. Status 1: it completed.
        writeln!(
            out,
            "{id} {submit_s} -1 {run_s} {processors} -1 -1 {processors} {requested_s} -1 1 {user} -1 -1 -1 -1 -1 -1"
        )?;
    }
    Ok(())
}

fn header_lines(trace: &Trace, notes: &[String], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "; Version: 2.2")?;
    writeln!(out, "; MaxJobs: {}", trace.jobs.len())?;
    if let Some(processors) = trace.processors {
        writeln!(out, "; MaxProcs: {processors}")?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "; Note: {note}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<(u64, u64, u64, u64, u32, u64), String> {
        job(text).map(|d| {
            let j = d.job;
            (j.id, j.submit_s, j.run_s, j.requested_s, j.processors, j.user)
        })
    }

    #[test]
    fn columns_mean_what_the_archive_says() {
        assert_eq!(
            line("7 327952 291900 9382 90 -1 -1 80 14400 -1 1 2 3 -1 -1 -1 -1 -1"),
            Ok((7, 327_952, 9_382, 14_400, 80, 2))
        );
        assert_eq!(line("1 5 -1 20 16 3.5 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1"), Ok((1, 5, 20, 20, 16, 0)), "no limit");
        assert_eq!(line("1 5 -1 -1 -1 -1 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1"), Ok((1, 5, 0, 0, 0, 0)), "it never ran");
    }

    #[test]
    fn a_damaged_line_is_named_and_not_guessed() {
        assert_eq!(line("1 2 3").unwrap_err(), "it has 3 columns instead of 18");
        assert_eq!(line("1 2 x 4").unwrap_err(), "column 3 is no number: 'x'");
        assert_eq!(line(&"1 ".repeat(19)).unwrap_err(), "it has more than 18 columns");
        assert!(line("-1 5 -1 20 16 3.5 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1").is_err());
        assert!(line("1 5 -1 20 4294967296 3 -1 -1 -1 -1 1 -1 -1 -1 0 -1 -1 -1").is_err());
    }

    #[test]
    fn the_size_of_the_machine_stands_in_the_header() {
        assert_eq!((header(" MaxProcs: 128"), header(" MaxNodes: -1"), header(" Note: x")), (Some(128), None, None));
    }
}
