//! Templates: versions of a text.

use cloudai_core::command::{CreateTemplate, DeleteTemplate, Kind, TEMPLATES_SINCE};
use cloudai_core::rows::{Family, TemplateRow, TemplateVersionRow, named_key, template_version_key};
use cloudai_core::{Command, Refusal, Reply};
use cloudai_types::{NamespaceId, limits};

use crate::world::World;

const NS: NamespaceId = NamespaceId(1);

fn create(name: &str, document: &str) -> Kind {
    let (name, document) = (name.to_owned(), document.to_owned());
    Kind::CreateTemplate(CreateTemplate { namespace: "default".into(), name, document })
}

fn delete(name: &str, version: u32) -> Kind {
    Kind::DeleteTemplate(DeleteTemplate { namespace: "default".into(), name: name.into(), version })
}

fn made(version: u32, is_new: bool) -> [Reply; 1] {
    [Reply::TemplateCreated { version, is_new }]
}

fn versions(world: &World) -> Vec<u32> {
    let row: Option<TemplateRow> = world.row(Family::Template, &named_key(NS, "t"));
    row.map_or(vec![], |row| row.versions.iter().map(|v| v.version).collect())
}

#[test]
fn another_text_is_another_version_and_a_number_is_given_once() {
    let mut world = World::default();
    assert_eq!(world.one(1_000, create("t", "a")).replies, made(1, true));
    assert_eq!(world.one(2_000, create("t", "a")).replies, made(1, false));
    assert_eq!(world.one(3_000, create("t", "b")).replies, made(2, true));
    assert_eq!(world.one(4_000, create("t", "a")).replies, made(3, true), "back to what it was is news");
    let text = |world: &World, version| {
        let row: Option<TemplateVersionRow> =
            world.row(Family::TemplateVersion, &template_version_key(NS, "t", version));
        row.map(|row| row.document)
    };
    assert_eq!((text(&world, 1).as_deref(), text(&world, 2).as_deref()), (Some("a"), Some("b")));
    assert_eq!(world.one(5_000, delete("t", 3)).replies, [Reply::Done]);
    assert_eq!(world.one(6_000, create("t", "b")).replies, made(2, false), "the newest says that");
    assert_eq!(world.one(7_000, create("t", "a")).replies, made(4, true));
    assert_eq!((versions(&world), text(&world, 3)), (vec![1, 2, 4], None));
    world.check();
}

#[test]
fn one_version_goes_or_all_of_them() {
    let mut world = World::default();
    world.entry(1_000, vec![create("t", "a"), create("t", "b"), create("other", "a")]);
    assert_eq!(world.one(2_000, delete("t", 9)).replies, [Reply::Refused(Refusal::NoSuchVersion("t".into(), 9))]);
    assert_eq!(world.one(2_000, delete("x", 0)).replies, [Reply::Refused(Refusal::NoSuchTemplate("x".into()))]);
    world.one(3_000, delete("t", 1));
    assert_eq!((versions(&world), world.hot.templates[&NS]), (vec![2], 2));
    world.one(4_000, delete("t", 2));
    assert_eq!((versions(&world), world.hot.templates[&NS]), (vec![], 1), "the last version takes it along");
    world.one(5_000, delete("other", 0));
    world.check();
    assert!(world.hot.templates.is_empty());
    assert_eq!(world.rows.keys(Family::TemplateVersion).count(), 0);
}

#[test]
fn sizes_and_names_are_checked_and_an_older_build_stops_there() {
    assert_eq!(Command::new("x", create("t", "a")).since(), TEMPLATES_SINCE);
    let mut world = World::default();
    let large = "x".repeat(limits::TEMPLATE_BYTES_MAX + 1);
    for (name, document) in [("t", ""), ("t", large.as_str()), ("a/b", "x")] {
        let replies = world.one(1_000, create(name, document)).replies;
        assert!(matches!(replies[..], [Reply::Refused(Refusal::InvalidValue(_) | Refusal::InvalidName(_))]), "{name}");
    }
    let most = limits::TEMPLATE_VERSIONS_MAX;
    let applied = world.entry(1_000, (0..=most).map(|n| create("t", &n.to_string())).collect());
    assert_eq!(applied.replies[most], Reply::Refused(Refusal::TooMany(most)));
    let most = limits::TEMPLATES_OF_NAMESPACE_MAX;
    let applied = world.entry(1_000, (1..=most).map(|n| create(&format!("t{n}"), "a")).collect());
    assert_eq!(applied.replies[most as usize - 1], Reply::Refused(Refusal::TooMany(most as usize)));
    world.check();
}
