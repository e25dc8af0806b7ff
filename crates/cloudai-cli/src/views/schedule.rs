//! Schedules: one in a list, one with its runs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_proto::v1::{CreateScheduleReply, GetScheduleReply, JobSummary, ScheduleInfo};
use cloudai_types::{JobId, RunOutcome, ScheduleRun};
use serde::Serialize;

use crate::output::{Columns, View, facts};
use crate::times::rfc3339;
use crate::views::spec::SpecView;

/// `schedule create`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreatedView {
    pub name: String,
    /// False: it says the same already.
    pub is_new: bool,
    pub next_at: Option<String>,
    pub index: u64,
}

impl CreatedView {
    pub fn new(name: &str, reply: CreateScheduleReply) -> Self {
        let next_at = rfc3339(reply.next_due_ms);
        CreatedView { name: name.to_owned(), is_new: reply.is_new, next_at, index: reply.index }
    }
}

impl View for CreatedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let (name, next) = (&self.name, self.next_at.as_deref().unwrap_or("never"));
        if self.is_new {
            writeln!(out, "{name} created; it runs next at {next}")
        } else {
            writeln!(out, "{name} says the same already; it runs next at {next}")
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleView {
    pub name: String,
    pub namespace: String,
    pub cron: String,
    pub timezone: String,
    pub overlap: &'static str,
    pub missed_policy: &'static str,
    /// Null: its job came from a file.
    pub template: Option<String>,
    pub paused: bool,
    /// Null while it is paused, and when no time is to come.
    pub next_at: Option<String>,
    pub last_run_at: Option<String>,
    /// How many of its times ran, and did not.
    pub ran: u64,
    pub overlapped: u64,
    pub missed: u64,
    pub refused: u64,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    /// Who created or replaced it: its jobs are submitted in this name.
    pub created_by: String,
}

impl From<ScheduleInfo> for ScheduleView {
    fn from(s: ScheduleInfo) -> Self {
        let last = s.runs.iter().find(|run| run.outcome() == RunOutcome::Ran);
        ScheduleView {
            overlap: s.overlap().name(),
            missed_policy: s.missed_policy().name(),
            last_run_at: last.and_then(|run| rfc3339(run.decided_ms)),
            name: s.name,
            namespace: s.namespace,
            cron: s.cron,
            timezone: s.zone,
            template: (!s.template.is_empty()).then_some(s.template),
            paused: s.paused,
            next_at: rfc3339(s.next_due_ms).filter(|_| !s.paused),
            ran: s.ran,
            overlapped: s.overlapped,
            missed: s.missed,
            refused: s.refused,
            created_at: rfc3339(s.created_ms),
            updated_at: rfc3339(s.updated_ms),
            created_by: s.actor,
        }
    }
}

impl ScheduleView {
    /// `12 ran, 1 missed`: only what there is.
    fn counts(&self) -> String {
        let counts =
            [(self.ran, "ran"), (self.overlapped, "overlapped"), (self.missed, "missed"), (self.refused, "refused")];
        let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if told.is_empty() { "none yet".to_owned() } else { told.join(", ") }
    }
}

/// `schedule list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ScheduleList(pub Vec<ScheduleView>);

impl View for ScheduleList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["NAME", "CRON", "TIMEZONE", "NEXT", "LAST", "TIMES"]);
        for s in &self.0 {
            let next = if s.paused { "paused" } else { s.next_at.as_deref().unwrap_or("never") };
            columns.row([
                s.name.clone(),
                s.cron.clone(),
                s.timezone.clone(),
                next.to_owned(),
                s.last_run_at.clone().unwrap_or_else(|| "-".to_owned()),
                s.counts(),
            ]);
        }
        columns.write(out)
    }
}

/// One time of a schedule, or several that were missed together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    pub due_at: Option<String>,
    pub decided_at: Option<String>,
    pub outcome: &'static str,
    /// Of `ran` the job that was submitted; of `overlapped` the one that had not ended.
    pub job: Option<String>,
    /// Null: the job is not there any more, or there was none.
    pub job_state: Option<&'static str>,
    /// Why there was no job.
    pub why: Option<String>,
    pub by_hand: bool,
    /// How many were missed.
    pub times: u32,
}

impl RunView {
    fn new(run: ScheduleRun, states: &BTreeMap<u64, &'static str>) -> Self {
        let outcome = run.outcome();
        let job = (run.job > 0).then(|| JobId(run.job).to_string());
        let why = match outcome {
            RunOutcome::Ran => None,
            RunOutcome::Overlapped => job.as_ref().map(|job| format!("job {job} had not ended")),
            RunOutcome::Missed if run.times > 1 => {
                Some(format!("{} times passed without a leader or while it was paused", run.times))
            }
            RunOutcome::Missed => Some("its time passed without a leader or while it was paused".to_owned()),
            RunOutcome::Refused => Some(run.why),
        };
        RunView {
            due_at: rfc3339(run.due_ms),
            decided_at: rfc3339(run.decided_ms),
            outcome: outcome.name(),
            job,
            job_state: states.get(&run.job).copied(),
            why,
            by_hand: run.by_hand,
            times: run.times,
        }
    }
}

/// `schedule show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleDetail {
    #[serde(flatten)]
    pub schedule: ScheduleView,
    /// The times to come; none while it is paused.
    pub next: Vec<String>,
    /// The last one first.
    pub runs: Vec<RunView>,
    /// What each run submits.
    pub job: SpecView,
}

impl From<GetScheduleReply> for ScheduleDetail {
    fn from(r: GetScheduleReply) -> Self {
        let state = |job: &JobSummary| (job.id, job.state().name());
        let states: BTreeMap<u64, &'static str> = r.jobs.iter().map(state).collect();
        let mut info = r.schedule.unwrap_or_default();
        let runs = info.runs.clone();
        let next = if info.paused { vec![] } else { r.next_ms };
        info.next_due_ms = next.first().copied().unwrap_or(info.next_due_ms);
        ScheduleDetail {
            schedule: info.into(),
            next: next.into_iter().filter_map(rfc3339).collect(),
            runs: runs.into_iter().map(|run| RunView::new(run, &states)).collect(),
            job: r.job.unwrap_or_default().into(),
        }
    }
}

impl View for ScheduleDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let s = &self.schedule;
        let next = match (s.paused, self.next.is_empty()) {
            (true, _) => format!("paused; `cloudai schedule resume {}` lets it go on", s.name),
            (false, true) => "never".to_owned(),
            (false, false) => self.next.join("\n"),
        };
        let known = [
            ("schedule", s.name.clone()),
            ("namespace", s.namespace.clone()),
            ("cron", s.cron.clone()),
            ("timezone", s.timezone.clone()),
            ("overlap", s.overlap.to_owned()),
            ("missed", s.missed_policy.to_owned()),
            ("image", self.job.image.clone()),
            ("template", s.template.clone().unwrap_or_default()),
            ("created by", s.created_by.clone()),
            ("times", s.counts()),
            ("next", next),
        ];
        facts(out, &known)?;
        if self.runs.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut columns = Columns::new(&["DUE", "OUTCOME", "JOB", "STATE", "WHY"]);
        for run in &self.runs {
            let outcome = if run.by_hand { format!("{} by hand", run.outcome) } else { run.outcome.to_owned() };
            let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
            columns.row([
                or_none(run.due_at.as_deref()),
                outcome,
                or_none(run.job.as_deref()),
                or_none(run.job_state),
                or_none(run.why.as_deref()),
            ]);
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample::{T0, array_job};
    use cloudai_types::{JobSpec, Missed, Overlap};

    fn nightly() -> ScheduleInfo {
        let run = |due_ms, outcome: RunOutcome, job| ScheduleRun {
            due_ms,
            decided_ms: due_ms + 100,
            outcome: outcome as i32,
            job,
            ..ScheduleRun::default()
        };
        ScheduleInfo {
            namespace: "default".into(),
            name: "nightly".into(),
            cron: "0 2 * * *".into(),
            zone: "Europe/Paris".into(),
            overlap: Overlap::Skip as i32,
            missed_policy: Missed::Once as i32,
            template: "sweep@3".into(),
            next_due_ms: T0 + 60_000,
            runs: vec![
                ScheduleRun { by_hand: true, ..run(T0, RunOutcome::Ran, 5) },
                run(T0 - 60_000, RunOutcome::Overlapped, 4),
                ScheduleRun { times: 3, ..run(T0 - 120_000, RunOutcome::Missed, 0) },
                ScheduleRun { why: "no such secret".into(), ..run(T0 - 180_000, RunOutcome::Refused, 0) },
            ],
            ran: 2,
            overlapped: 1,
            missed: 3,
            refused: 1,
            created_ms: T0 - 900_000,
            updated_ms: T0 - 800_000,
            actor: "admin/ann".into(),
            ..ScheduleInfo::default()
        }
    }

    fn shown(view: &impl View) -> String {
        let mut out = vec![];
        view.table(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_as_a_table() {
        let paused = ScheduleInfo {
            name: "off".into(),
            paused: true,
            runs: vec![],
            ran: 0,
            overlapped: 0,
            missed: 0,
            refused: 0,
            ..nightly()
        };
        assert_eq!(
            shown(&ScheduleList(vec![nightly().into(), paused.into()])),
            "\
NAME     CRON       TIMEZONE      NEXT                  LAST                    TIMES
nightly  0 2 * * *  Europe/Paris  2026-09-21T14:14:20Z  2026-09-21T14:13:20.1Z  2 ran, 1 overlapped, 3 missed, 1 refused
off      0 2 * * *  Europe/Paris  paused                -                       none yet
"
        );
    }

    #[test]
    fn one_with_what_comes_and_what_became_of_the_last_times() {
        let job = JobSpec { image: "busybox".into(), ..JobSpec::default() };
        let reply = GetScheduleReply {
            schedule: Some(nightly()),
            next_ms: vec![T0 + 60_000, T0 + 120_000],
            job: Some(job),
            jobs: vec![array_job()],
            read: None,
        };
        let detail = ScheduleDetail::from(reply.clone());
        assert_eq!(
            shown(&detail),
            "\
schedule:    nightly
namespace:   default
cron:        0 2 * * *
timezone:    Europe/Paris
overlap:     skip
missed:      once
image:       busybox
template:    sweep@3
created by:  admin/ann
times:       2 ran, 1 overlapped, 3 missed, 1 refused
next:        2026-09-21T14:14:20Z
             2026-09-21T14:15:20Z

DUE                   OUTCOME      JOB       STATE    WHY
2026-09-21T14:13:20Z  ran by hand  4affhbak  Running  -
2026-09-21T14:12:20Z  overlapped   6dyjaepy  -        job 6dyjaepy had not ended
2026-09-21T14:11:20Z  missed       -         -        3 times passed without a leader or while it was paused
2026-09-21T14:10:20Z  refused      -         -        no such secret
"
        );
        let json = serde_json::to_value(&detail).unwrap();
        assert_eq!((&json["name"], &json["next"][1]), (&"nightly".into(), &"2026-09-21T14:15:20Z".into()));
        assert_eq!((&json["runs"][0]["job_state"], &json["runs"][2]["times"]), (&"Running".into(), &3.into()));
        assert_eq!(json["job"]["image"], "busybox");
        let paused = GetScheduleReply { schedule: Some(ScheduleInfo { paused: true, ..nightly() }), ..reply };
        let paused = ScheduleDetail::from(paused);
        assert!(paused.next.is_empty() && shown(&paused).contains("cloudai schedule resume nightly"));
    }
}
