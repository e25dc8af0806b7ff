//! What people write: job files (YAML, JSON), flags, references, and specs as they arrive. Whatever comes out as valid must stay
//! valid and the same.

use clap::Parser;
use cloudai_cli::input::job_flags::{JobFlags, ManyFlags};
use cloudai_cli::input::template_file::Template;
use cloudai_cli::input::{job_file, job_flags, reference, volume_text, workflow_file};
use cloudai_types::{JobSpec, ValidJobSpec, resources};
use prost::Message;

/// The flags of `job submit`.
#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    flags: JobFlags,
    #[command(flatten)]
    many: ManyFlags,
}

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => file(rest),
        1 => flags(rest),
        2 => texts(rest),
        _ => {
            if let Ok(spec) = JobSpec::decode(rest) {
                valid(spec);
            }
        }
    }
}

fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(file) = job_file::parse(text) {
        valid(file.spec);
    }
}

fn flags(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let words = std::iter::once("submit").chain(text.split('\n'));
    let Ok(mut words) = Words::try_parse_from(words) else { return };
    // A fuzzer reads no files.
    words.many.file = None;
    if let Ok(request) = job_flags::request(&words.flags, &words.many, "") {
        cloudai_proto::convert::Submit::try_from(request).expect("the masters accept what the command line checked");
    }
}

fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (workflow_file::parse(text), reference::workflow(text), Template::parse(text));
    let _ = text.parse::<reference::TemplateName>();
    let _ = (reference::task(text), reference::job(text), job_file::parse_array(text), job_file::parse_mount(text));
    let _ = (job_file::parse_timeout(text), job_file::parse_disconnect(text), resources::parse_cpu(text));
    let _ = (job_file::parse_delay(text), job_file::parse_factor(text), job_file::parse_reason(text));
    let _ = (job_file::parse_action(text), job_file::parse_grace(text), job_file::parse_pull(text));
    let _ = (volume_text::parse_named(text), volume_text::parse_tmpfs(text));
    let _ = (cloudai_types::signal::parse(text), resources::parse_size(text));
    let _ = cloudai_types::spec::check_name(text);
}

fn valid(spec: JobSpec) {
    let Ok(valid) = ValidJobSpec::parse(spec) else { return };
    let again = ValidJobSpec::parse(valid.get().clone()).expect("a valid spec is valid");
    assert_eq!(again, valid, "checking changes nothing the second time");
    let bytes = valid.get().encode_to_vec();
    let back = JobSpec::decode(bytes.as_slice()).expect("a valid spec is written and read");
    assert_eq!(&back, valid.get());
}
