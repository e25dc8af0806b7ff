//! The media type of a file by the end of its name. Pure; nothing is read.

/// What people's tasks write most. Everything else is bytes.
const TYPES: [(&str, &str); 34] = [
    ("7z", "application/x-7z-compressed"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("py", "text/x-python"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
];
const BYTES: &str = "application/octet-stream";

pub(crate) fn of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A name that only begins with a dot has no ending.
    let Some((stem, ending)) = name.rsplit_once('.') else { return BYTES };
    if stem.is_empty() {
        return BYTES;
    }
    let ending = ending.to_ascii_lowercase();
    TYPES.binary_search_by(|(e, _)| e.cmp(&ending.as_str())).map_or(BYTES, |at| TYPES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_says_what_a_file_is() {
        assert_eq!(of("a/b.tar.GZ"), "application/gzip");
        assert_eq!(of("table.csv"), "text/csv");
        for bytes in ["model", ".json", "a.json/b", "x.unknown", "x."] {
            assert_eq!(of(bytes), BYTES, "{bytes}");
        }
        assert!(TYPES.is_sorted(), "it is searched by halves");
        for (ending, media_type) in TYPES {
            assert_eq!(of(&format!("x.{ending}")), media_type);
        }
    }
}
