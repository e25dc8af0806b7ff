//! The rig of the drills: masters and workers as real processes in network namespaces of their own, each master on a disk of its own,
//! a load generator beside them, and faults that prove themselves. Comes in: [`Options`]. Goes out: a running cluster with
//! verbs on it, and a timeline of what was done to it. The rig deliberately knows no promise: what must hold is said by the drills.
//!
//! Everything that a rig makes in the kernel carries its own prefix, and is taken down by that exact name when the rig is dropped,
//! at Ctrl-C, and by the next run if this process was killed.

pub mod clock;
pub mod delay_proxy;
pub mod faults;
pub mod generator;
pub mod kernel;
pub mod load;
pub mod net;
pub mod options;
pub mod ours;
pub mod outcome;
pub mod page;
pub mod preflight;
pub mod process;
pub mod reads;
pub mod report;
pub mod standing;
pub mod storage;
pub mod timeline;

pub use load::{Load, LoadPlan};
pub use options::{Options, Pace};
pub use outcome::{Invalid, NotRun};
pub use report::{Report, Row};
pub use standing::Rig;
pub use timeline::{Band, Timeline};
