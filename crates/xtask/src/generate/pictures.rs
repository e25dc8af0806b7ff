//! The pictures of docs/pictures, held against the dashboards that they are of. They are drawn from a run that is over (`must-show prometheus`), so a panel may be newer
//! than its picture; what a picture shows is on the dashboard.

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::boards;
use super::tests::root;

const BYTES_MAX: usize = 300_000;

/// Titles of the groups right below the drawing: one for each panel. Panics where it is no XML.
fn panels_of(svg: &str) -> Vec<String> {
    let (mut reader, mut open, mut titles) = (Reader::from_str(svg), Vec::<String>::new(), vec![]);
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(start) => open.push(String::from_utf8_lossy(start.name().as_ref()).into_owned()),
            Event::End(_) => _ = open.pop(),
            Event::Text(text) if open == ["svg", "g", "title"] => {
                titles.push(text.decode().expect("UTF-8").into_owned())
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?} does not end");
    titles
}

#[test]
fn a_picture_shows_panels_of_its_dashboard() {
    let mut shown = 0;
    for board in boards::all() {
        let path = root().join(format!("docs/pictures/{}.svg", board.name));
        // That of logs has none, and a new one none yet.
        let Ok(svg) = std::fs::read_to_string(&path) else { continue };
        assert!(svg.len() < BYTES_MAX, "{} has {} bytes", path.display(), svg.len());
        let known: BTreeSet<&str> = board.rows.iter().flat_map(|row| row.panels).map(|p| p.title).collect();
        let titles = panels_of(&svg);
        assert!(titles.len() > 5, "{} has {} panels", path.display(), titles.len());
        for title in titles {
            assert!(
                known.contains(title.as_str()),
                "{}: no panel is called '{title}' any more: draw it again",
                path.display()
            );
        }
        shown += 1;
    }
    assert!(shown >= 5, "{shown} dashboards have pictures");
}
