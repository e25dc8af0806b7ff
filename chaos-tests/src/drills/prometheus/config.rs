//! The files that a user has (deploy/prometheus/prometheus.yml, grafana/alerts/cloudai.yml), with what differs between a user's cluster and a drill's put in.
//! Comes in: their text. Goes out: the same text, changed in these places and in no other. A file in which a place is missing is an error: what is proved here
//! must be what the user has.

use std::path::Path;

use anyhow::{Context as _, ensure};

/// What a user adapts.
pub struct Places<'a> {
    /// HOST:PORT of each master's HTTP; as many as the file names.
    pub masters: &'a [String],
    /// Has `ca.pem`, `cert.pem`, `key.pem`.
    pub identity: &'a Path,
    /// Has the files with rules.
    pub alerts: &'a Path,
    /// Between scrapes, between evaluations, and between looks for members.
    pub every_s: u64,
}

pub fn configuration(users: &str, places: &Places<'_>) -> anyhow::Result<String> {
    let every = places.every_s;
    let mut changes = vec![
        ("/etc/prometheus/cloudai/alerts".to_owned(), places.alerts.display().to_string(), 1),
        ("/etc/prometheus/cloudai/identity".to_owned(), places.identity.display().to_string(), 4),
        ("scrape_interval: 15s".to_owned(), format!("scrape_interval: {every}s"), 1),
        ("evaluation_interval: 15s".to_owned(), format!("evaluation_interval: {every}s"), 1),
        ("refresh_interval: 30s".to_owned(), format!("refresh_interval: {every}s"), 1),
    ];
    for (number, master) in places.masters.iter().enumerate() {
        changes.push((format!("https://10.0.0.{}:7600/", number + 1), format!("https://{master}/"), 1));
    }
    let mut text = users.to_owned();
    for (old, new, times) in changes {
        let found = text.matches(&old).count();
        ensure!(found == times, "deploy/prometheus/prometheus.yml has '{old}' {found} times instead of {times}");
        text = text.replace(&old, &new);
    }
    ensure!(!text.contains("10.0.0."), "deploy/prometheus/prometheus.yml names more masters than there are");
    Ok(text)
}

/// Each `for` sixty times as short: minutes become seconds, and hours minutes. And how many there were.
pub fn shortened(rules: &str) -> anyhow::Result<(String, usize)> {
    let (mut text, mut changed) = (String::with_capacity(rules.len()), 0);
    for line in rules.lines() {
        if let Some((indent, time)) = line.split_once("for: ").filter(|(before, _)| before.trim().is_empty()) {
            let (number, unit) = time.split_at(time.len().saturating_sub(1));
            let shorter = match unit {
                "h" => "m",
                "m" => "s",
                _ => "",
            };
            let is_known = !shorter.is_empty() && number.parse::<u32>().is_ok();
            is_known.then_some(()).with_context(|| format!("'{}' has no shorter form", line.trim()))?;
            text += &format!("{indent}for: {number}{shorter}\n");
            changed += 1;
        } else {
            text += line;
            text.push('\n');
        }
    }
    Ok((text, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
    }

    #[test]
    fn the_users_configuration_changes_where_a_user_changes_it() {
        let masters = ["127.0.0.1:7".to_owned(), "127.0.0.1:8".to_owned(), "127.0.0.1:9".to_owned()];
        let places = Places { masters: &masters, identity: Path::new("/i"), alerts: Path::new("/a"), every_s: 5 };
        let users = file("deploy/prometheus/prometheus.yml");
        let ours = configuration(&users, &places).unwrap();
        assert_eq!(users.lines().count(), ours.lines().count());
        let differ = users.lines().zip(ours.lines()).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 11, "{ours}");
        for part in ["url: https://127.0.0.1:9/service-discovery", "- /a/*.yml", "key_file: /i/key.pem"] {
            assert!(ours.contains(part), "{part} in {ours}");
        }
        assert!(configuration(&ours, &places).is_err(), "what is not there cannot be replaced");
        assert!(configuration(&users, &Places { masters: &masters[..2], ..places }).is_err());
    }

    #[test]
    fn every_alert_waits_sixty_times_as_short() {
        let (text, changed) =
            shortened("  - alert: X\n    expr: a > 1 # for: ever\n    for: 10m\n    for: 1h\n").unwrap();
        assert_eq!(text, "  - alert: X\n    expr: a > 1 # for: ever\n    for: 10s\n    for: 1m\n");
        assert_eq!(changed, 2);
        assert!(shortened("for: 10s\n").is_err());
        let rules = file("grafana/alerts/cloudai.yml");
        let (_, changed) = shortened(&rules).unwrap();
        assert_eq!(changed, rules.matches("- alert: ").count());
    }
}
