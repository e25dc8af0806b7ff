//! Registries of images, as far as a question needs them: what does this tag mean now? Comes in: the name of an image, and a login where there is
//! one. Goes out: a digest, or why there is none. It fetches no image, and knows nothing of jobs, workers, or what follows from an answer.

pub mod logins;
mod place;
mod registries;

pub use logins::{LoginConfig, LoginError, Logins};
pub use registries::{Registries, ResolveError};
