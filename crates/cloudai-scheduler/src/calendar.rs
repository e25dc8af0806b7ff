//! When schedules are due. Comes in: patterns of times with a zone, and what is decided already. Goes out: moments, and what becomes of those that
//! have passed. Who asks, and what runs, is not known here; `apply` knows none of this, because calendars differ between builds.

mod catch_up;
mod cron;
mod timetable;

pub use catch_up::{Due, due};
pub use cron::{Cron, CronError};
pub use timetable::{Timetable, TimetableError};
