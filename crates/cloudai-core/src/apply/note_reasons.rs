//! The leader says why tasks have waited for a while: it alone knows, and the next leader should. What was noted last of the same tasks and is said
//! again is nothing new, so that two leaders who look at the same queue do not double it.

use cloudai_types::{JobId, WaitCause, limits};

use super::out::Out;
use crate::command::NoteReasons;
use crate::hot::Hot;
use crate::note_rows::{JobNotesRow, WaitNote};
use crate::reply::Reply;
use crate::rows::{Family, job_key};

/// At most [`limits::NOTES_BATCH_MAX`] notes, whatever the log says; of jobs that live and have something queued.
pub fn note_reasons(hot: &Hot, out: &mut Out, command: &NoteReasons) -> Reply {
    let (mut noted, mut ignored) = (0, 0);
    for note in command.notes.iter().take(limits::NOTES_BATCH_MAX) {
        let is_known = !matches!(WaitCause::try_from(note.cause), Ok(WaitCause::Unspecified) | Err(_));
        let id = JobId(note.job);
        let job = hot.jobs.get(&id).filter(|job| is_known && job.counts.queued > 0);
        let is_new = job.is_some_and(|job| {
            let key = job_key(job.namespace, id);
            let mut row: JobNotesRow = out.read(Family::JobNotes, &key).unwrap_or_default();
            let is_new = row.note(WaitNote {
                at_ms: out.clock_ms,
                cause: note.cause,
                workers: note.workers,
                of: note.of,
                memory_mib: note.memory_mib,
            });
            if is_new {
                out.put(Family::JobNotes, &key, &row);
            }
            is_new
        });
        *(if is_new { &mut noted } else { &mut ignored }) += 1;
    }
    Reply::Noted { noted, ignored }
}
