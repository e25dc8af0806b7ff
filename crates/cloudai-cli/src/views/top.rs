//! The cluster as it is now, in one piece: what `top` prints where it cannot draw.

use std::io::{self, Write};

use cloudai_proto::v1::{ClusterStatusReply, ListJobsReply, ListWorkersReply, QueueReply};
use serde::Serialize;

use crate::output::View;
use crate::views::cluster::StatusView;
use crate::views::job::{JobList, JobView};
use crate::views::queue::QueueView;
use crate::views::worker::WorkerList;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopView {
    pub status: StatusView,
    pub workers: WorkerList,
    pub queue: QueueView,
    /// Those that have not ended, the newest first.
    pub jobs: JobList,
}

impl TopView {
    pub fn new(status: ClusterStatusReply, workers: ListWorkersReply, queue: QueueReply, jobs: ListJobsReply) -> Self {
        TopView {
            status: status.into(),
            workers: workers.into(),
            queue: queue.into(),
            jobs: JobList(jobs.jobs.into_iter().map(JobView::from).collect()),
        }
    }
}

impl View for TopView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.status.table(out)?;
        writeln!(out)?;
        self.workers.table(out)?;
        writeln!(out)?;
        self.queue.table(out)?;
        if !self.jobs.0.is_empty() {
            writeln!(out)?;
            self.jobs.table(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample;

    #[test]
    fn one_picture_has_all_of_it() {
        let workers = ListWorkersReply { workers: vec![sample::worker()], ..ListWorkersReply::default() };
        let jobs = ListJobsReply { jobs: vec![sample::array_job()], ..ListJobsReply::default() };
        let view = TopView::new(sample::status(), workers, QueueReply::default(), jobs);
        let mut out = vec![];
        view.table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let heads = ["leader:       m2", "ID  NAME  ROLE", "NAME  STATE            CPU", "0 queued", "sweep"];
        let places: Vec<usize> =
            heads.iter().map(|head| text.find(head).unwrap_or_else(|| panic!("{head}:\n{text}"))).collect();
        assert!(places.is_sorted(), "{text}");
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((&json["status"]["leader"], &json["workers"][0]["name"]), (&"m2".into(), &"w1".into()));
        assert_eq!(json["jobs"][0]["name"], "sweep");
    }
}
