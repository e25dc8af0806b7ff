//! Keys and changes of the terminal's size, from a thread of their own: reading a terminal blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::event::{Event, poll, read};
use tokio::sync::mpsc;

use crate::top::input::Input;

/// How soon the thread sees that it is not needed any more.
const LOOKS_UP_EVERY: Duration = Duration::from_millis(100);

/// Listens until it goes out of scope. What is typed after that is for the shell.
pub struct Keyboard {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keyboard {
    pub fn listen(inputs: mpsc::Sender<Input>) -> Keyboard {
        let ends = Arc::new(AtomicBool::new(false));
        let seen = ends.clone();
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let input = match next() {
                    Ok(None) => continue,
                    Ok(Some(input)) => input,
                    // The terminal is gone.
                    Err(_) => Input::Stop,
                };
                let is_last = matches!(input, Input::Stop);
                if inputs.blocking_send(input).is_err() || is_last {
                    return;
                }
            }
        });
        Keyboard { ends, thread: Some(thread) }
    }
}

fn next() -> std::io::Result<Option<Input>> {
    if !poll(LOOKS_UP_EVERY)? {
        return Ok(None);
    }
    Ok(match read()? {
        Event::Key(key) => Some(Input::Key(key)),
        Event::Resize(width, height) => Some(Input::Resized(width, height)),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    })
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said what it had to say.
            let _ = thread.join();
        }
    }
}
