//! What runs in a sandbox: a program that sleeps for ever, in an image with nothing else. Comes in: nothing. Goes out: the image as an
//! archive. It is made here, because a registry may be far away, and because nothing smaller exists: the kernel asks for a process
//! in a namespace, and this is one.

/// By content: a worker of another version never finds a different program under this name.
pub const NAME: &str = "cloudai/sandbox";
pub const TAG: &str = "1";
pub const PROGRAM: &str = "/pause";

const LOAD_ADDRESS: u64 = 0x40_0000;
const FILE_HEADER_BYTES: u16 = 64;
const SEGMENT_HEADER_BYTES: u16 = 56;

/// The machine's number in an ELF header, and `loop { wait for a signal }`; `None` on machines that nobody has asked for yet.
const fn machine() -> Option<(u16, &'static [u8])> {
    if cfg!(target_arch = "x86_64") {
        // again: mov eax, 34 (pause); syscall; jmp again
        Some((62, &[0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]))
    } else if cfg!(target_arch = "aarch64") {
        // again: mov x0..x3, 0; mov x8, 73 (ppoll); svc 0; b again
        Some((
            183,
            &[
                0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x28,
                0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17,
            ],
        ))
    } else {
        None
    }
}

/// The program, as the ELF-64 specification has it: one header, one segment that is loaded and run.
fn program() -> Option<Vec<u8>> {
    let (machine, code) = machine()?;
    let headers = u64::from(FILE_HEADER_BYTES + SEGMENT_HEADER_BYTES);
    let bytes = headers + code.len() as u64;
    let mut elf = vec![];
    // 64 bit, little endian, version 1, the System V interface.
    elf.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An executable, for this machine, version 1.
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    // Where it begins; where the segments' table is; no table of sections; no flags.
    elf.extend((LOAD_ADDRESS + headers).to_le_bytes());
    elf.extend(u64::from(FILE_HEADER_BYTES).to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [FILE_HEADER_BYTES, SEGMENT_HEADER_BYTES, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // To be loaded, readable and executable.
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    // Offset, addresses, bytes in the file and in memory, alignment.
    for word in [0, LOAD_ADDRESS, LOAD_ADDRESS, bytes, bytes, 0x1_0000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    Some(elf)
}

/// The image's files as a tar archive; `None` where there is no program for this machine.
pub fn archive() -> Option<Vec<u8>> {
    let program = program()?;
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o555);
    header.set_size(program.len() as u64);
    let mut archive = tar::Builder::new(vec![]);
    let name = PROGRAM.trim_start_matches('/');
    archive.append_data(&mut header, name, program.as_slice()).and_then(|()| archive.into_inner()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    #[test]
    fn the_program_runs_and_waits_until_it_is_killed() {
        let Some(archive) = archive() else {
            eprintln!("NOT RUN: there is no program for this machine");
            return;
        };
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut files = archive.entries().unwrap();
        let mut file = files.next().unwrap().unwrap();
        assert_eq!(file.path().unwrap().to_str(), Some("pause"));
        let mut program = vec![];
        file.read_to_end(&mut program).unwrap();
        assert!(files.next().is_none(), "nothing else is in it");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        let mut out = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o755).open(&path).unwrap();
        std::io::Write::write_all(&mut out, &program).unwrap();
        drop(out);
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        // It sleeps in the kernel, in the call that was meant: not ended, and not spinning.
        let stat = format!("/proc/{}/stat", child.id());
        let asleep = || std::fs::read_to_string(&stat).unwrap().contains(") S ");
        while !asleep() {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(libc::SIGKILL));
    }
}
