//! Panics of simulated processes. tokio keeps a panic inside its task; here each one ends the simulation.

use std::sync::Mutex;

static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// From now on the first panic is remembered.
pub fn watch() {
    std::panic::set_hook(Box::new(|info| {
        let mut first = FIRST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| {
            eprintln!("{info}");
            info.to_string().replace('\n', " ")
        });
    }));
}

pub fn first() -> Option<String> {
    FIRST.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}
