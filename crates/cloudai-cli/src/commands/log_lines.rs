//! Frames of a log as text. Comes in: frames, not cut at line ends. Goes out: what the program wrote to stdout on stdout, to stderr on
//! stderr; markers of the worker on stderr; with a prefix or times, whole lines only; or JSON lines.

use std::io::{self, Write};

use cloudai_proto::v1::LogFrame;
use cloudai_proto::v1::log_frame::Source;

use crate::exit::Failure;
use crate::output::Format;
use crate::times::rfc3339;

/// How lines are decorated.
#[derive(Debug, Clone, Default)]
pub struct Decoration {
    /// Before each line, such as `3 | `.
    pub prefix: String,
    pub timestamps: bool,
    pub json: bool,
}

impl Decoration {
    pub fn of(format: Format) -> Result<Self, Failure> {
        match format {
            Format::Table => Ok(Decoration::default()),
            Format::Json | Format::Jsonl => Ok(Decoration { json: true, ..Default::default() }),
            Format::Yaml => Err(Failure::invalid("logs have no YAML form").next("use -o jsonl, or none")),
            Format::Csv => Err(Failure::invalid("logs have no CSV form").next("use -o jsonl, or none")),
        }
    }

    fn is_plain(&self) -> bool {
        self.prefix.is_empty() && !self.timestamps && !self.json
    }
}

/// One attempt's log on its way out.
pub struct LogLines {
    task: String,
    decoration: Decoration,
    /// Begun lines of stdout and stderr, with the time of their first part.
    begun: [(u64, Vec<u8>); 2],
}

impl LogLines {
    pub fn new(task: impl Into<String>, decoration: Decoration) -> Self {
        LogLines { task: task.into(), decoration, begun: Default::default() }
    }

    pub fn print(&mut self, frames: &[LogFrame]) -> Result<(), Failure> {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        self.write(frames, &mut out, &mut err)?;
        out.flush()?;
        Ok(())
    }

    /// A last line without an end.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        self.flush(&mut out, &mut err)?;
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for (i, source) in [Source::Stdout, Source::Stderr].into_iter().enumerate() {
            let (time_ms, rest) = std::mem::take(&mut self.begun[i]);
            if !rest.is_empty() {
                self.line(source, time_ms, &rest, out, err)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, frames: &[LogFrame], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for f in frames {
            let source = f.source();
            let at = match source {
                Source::Marker => {
                    let text = String::from_utf8_lossy(&f.data);
                    if self.decoration.json {
                        self.line(source, f.time_ms, text.trim_end().as_bytes(), out, err)?;
                    } else {
                        let text = text.trim_end();
                        let whose = if text.starts_with("cloudai: ") { "" } else { "cloudai: " };
                        writeln!(err, "{whose}{text}")?;
                    }
                    continue;
                }
                Source::Stdout | Source::Unspecified => 0,
                Source::Stderr => 1,
            };
            if self.decoration.is_plain() {
                let to: &mut dyn Write = if at == 0 { out } else { err };
                to.write_all(&f.data)?;
                continue;
            }
            let mut rest: &[u8] = &f.data;
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let (started, mut whole) = std::mem::take(&mut self.begun[at]);
                let time_ms = if whole.is_empty() { f.time_ms } else { started };
                whole.extend_from_slice(&rest[..end]);
                self.line(source, time_ms, &whole, out, err)?;
                rest = &rest[end + 1..];
            }
            if !rest.is_empty() {
                if self.begun[at].1.is_empty() {
                    self.begun[at].0 = f.time_ms;
                }
                self.begun[at].1.extend_from_slice(rest);
            }
        }
        Ok(())
    }

    fn line(
        &self,
        source: Source,
        time_ms: u64,
        line: &[u8],
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        if self.decoration.json {
            let stream = match source {
                Source::Stdout | Source::Unspecified => "stdout",
                Source::Stderr => "stderr",
                Source::Marker => "marker",
            };
            let value =
                serde_json::json!({ "task": self.task, "time": rfc3339(time_ms), "stream": stream, "text": text });
            return writeln!(out, "{value}");
        }
        let time = if self.decoration.timestamps {
            format!("{} ", rfc3339(time_ms).unwrap_or("-".to_owned()))
        } else {
            String::new()
        };
        let to: &mut dyn Write = if source == Source::Stderr { err } else { out };
        writeln!(to, "{}{time}{text}", self.decoration.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: Source, data: &'static str) -> LogFrame {
        LogFrame { time_ms: 1_790_000_000_000, source: source as i32, data: data.as_bytes().to_vec().into() }
    }

    fn shown(decoration: Decoration, frames: &[LogFrame]) -> (String, String) {
        let (mut out, mut err) = (vec![], vec![]);
        let mut lines = LogLines::new("abc/0", decoration);
        lines.write(frames, &mut out, &mut err).unwrap();
        lines.flush(&mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_plain_log_is_the_programs_bytes_on_their_own_streams() {
        let frames = [
            frame(Source::Stdout, "a"),
            frame(Source::Stderr, "oops"),
            frame(Source::Stdout, "b\nc"),
            frame(Source::Marker, "cut\n"),
        ];
        assert_eq!(shown(Decoration::default(), &frames), ("ab\nc".into(), "oopscloudai: cut\n".into()));
    }

    #[test]
    fn a_prefix_stands_before_whole_lines() {
        let d = Decoration { prefix: "3 | ".into(), ..Default::default() };
        let frames = [frame(Source::Stdout, "a"), frame(Source::Stdout, "b\n\nend")];
        assert_eq!(shown(d, &frames).0, "3 | ab\n3 | \n3 | end\n");
    }

    #[test]
    fn json_lines_say_stream_and_time() {
        let d = Decoration { json: true, ..Default::default() };
        let (out, err) = shown(d, &[frame(Source::Stderr, "x\n")]);
        let v: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            v,
            serde_json::json!({"task": "abc/0", "time": "2026-09-21T14:13:20Z", "stream": "stderr", "text": "x"})
        );
        assert_eq!(err, "");
    }
}
