//! `cargo xtask generate`: files that are made from tables, checked in so that nobody needs this program to use them. Comes in: the tables of
//! dashboards and of metrics. Goes out: grafana/dashboards/*.json and docs/metrics.md. A test holds the files against the tables.

mod boards;
mod dashboard;
mod metrics_page;

use std::path::{Path, PathBuf};

/// A file of the repository: where, and what is in it.
pub type Made = (PathBuf, String);

pub fn files() -> Vec<Made> {
    let boards = boards::all().into_iter().map(|board| {
        let path = Path::new("grafana/dashboards").join(format!("{}.json", board.name));
        (path, dashboard::json(&board))
    });
    boards.chain([(PathBuf::from("docs/metrics.md"), metrics_page::text())]).collect()
}

/// Writes what differs, and names it.
pub fn write(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut written = vec![];
    for (path, text) in files() {
        let at = root.join(&path);
        if std::fs::read_to_string(&at).is_ok_and(|old| old == text) {
            continue;
        }
        if let Some(folder) = at.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&at, text)?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod shipping;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn the_checked_in_files_are_what_the_tables_make() {
        for (path, text) in files() {
            let found = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
            assert!(found == text, "{} is not what is made of its table: run cargo xtask generate", path.display());
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(write(dir.path()).unwrap().len(), files().len());
        assert_eq!(write(dir.path()).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(dir.path().join("docs/metrics.md"), "old").unwrap();
        assert_eq!(write(dir.path()).unwrap(), [PathBuf::from("docs/metrics.md")]);
    }

    #[test]
    fn every_query_of_every_dashboard_is_promql_about_metrics_that_exist() {
        let mut asked = 0;
        for board in boards::all() {
            for panel in board.rows.iter().flat_map(|row| row.panels) {
                for line in panel.lines.iter().filter(|_| panel.kind != boards::Kind::Logs) {
                    let told = format!("{}, {}", board.title, panel.title);
                    queries::check(&dashboard::query(line.1), &told);
                    asked += 1;
                }
            }
        }
        assert!(asked > 60, "{asked}");
    }

    #[test]
    fn dashboards_can_be_told_apart_and_panels_say_what_they_show() {
        let mut names = std::collections::BTreeSet::new();
        for board in boards::all() {
            assert!(names.insert(board.name), "{} twice", board.name);
            let parsed: serde_json::Value = serde_json::from_str(&dashboard::json(&board)).unwrap();
            assert_eq!(parsed["uid"], format!("cloudai-{}", board.name));
            for panel in board.rows.iter().flat_map(|row| row.panels) {
                assert!(panel.about.len() > 20 && panel.about.ends_with('.'), "{}: {}", board.title, panel.title);
            }
        }
    }
}
