//! A secret's value from a person or a program. Comes in: a file, standard input, or what somebody types. Goes out: bytes that are overwritten
//! when they are dropped. It is never an argument or a variable of this process.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::Path;

use cloudai_types::limits;
use zeroize::Zeroizing;

use crate::exit::Failure;

/// As it is, to the last byte. `-` is standard input.
pub fn of_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new("-") {
        return read(std::io::stdin().lock(), "standard input");
    }
    let shown = path.display().to_string();
    let file = File::open(path)
        .map_err(|e| unread(&shown, &e).next("check the path; `--from-file -` reads standard input"))?;
    read(file, &shown)
}

/// From standard input, without a line end after it.
pub fn of_standard_input() -> Result<Zeroizing<Vec<u8>>, Failure> {
    of_file(Path::new("-")).map(without_line_end)
}

/// Asked for on a terminal, which does not show it; where there is none, standard input.
pub fn typed(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if !std::io::stdin().is_terminal() {
        return of_standard_input();
    }
    let terminal = console::Term::stderr();
    let failed = |e: std::io::Error| unread("the terminal", &e).next("give it as a file: --from-file FILE");
    terminal.write_str(&format!("{question}: ")).map_err(failed)?;
    let line = terminal.read_secure_line().map_err(failed)?;
    if line.is_empty() {
        return Err(Failure::invalid("nothing was typed").next("to store an empty secret: --from-file /dev/null"));
    }
    Ok(without_line_end(Zeroizing::new(line.into_bytes())))
}

fn read(mut from: impl Read, shown: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let most = limits::SECRET_BYTES_MAX;
    // With room for one byte more than is allowed, so that it never moves and leaves a copy behind.
    let mut value = Zeroizing::new(Vec::with_capacity(most + 1));
    from.by_ref().take(most as u64 + 1).read_to_end(&mut value).map_err(|e| unread(shown, &e))?;
    if value.len() > most {
        return Err(Failure::invalid(format!("{shown} is too large for a secret"))
            .why(format!("{most} bytes are allowed"))
            .next("keep large data elsewhere, and only the key to it as a secret"));
    }
    Ok(value)
}

fn without_line_end(mut value: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    value
}

fn unread(shown: &str, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("{shown} cannot be read")).why(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_as_it_is_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        for size in [0, 1, limits::SECRET_BYTES_MAX] {
            std::fs::write(&path, vec![b'\n'; size]).unwrap();
            assert_eq!(of_file(&path).unwrap().len(), size);
        }
        std::fs::write(&path, vec![0; limits::SECRET_BYTES_MAX + 1]).unwrap();
        assert_eq!(of_file(&path).unwrap_err().code.number(), 2);
        assert_eq!(of_file(&dir.path().join("absent")).unwrap_err().code.number(), 2);
    }

    #[test]
    fn one_line_end_is_no_part_of_what_is_typed() {
        let of = |text: &str| String::from_utf8(without_line_end(Zeroizing::new(text.into())).to_vec()).unwrap();
        assert_eq!([of("a"), of("a\n"), of("a\r\n"), of("a\n\n"), of("")], ["a", "a", "a", "a\n", ""]);
    }
}
