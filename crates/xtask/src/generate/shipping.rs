//! What ships logs, held against what it must not do: deploy/alloy/config.alloy and deploy/loki/loki.yml. (That the fields it names are in real lines, the
//! crates that write them test.)

use std::collections::BTreeSet;

use super::tests::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("it is checked in")
}

/// The names in each stage of this kind: in quotes or before `=`, behind `key`.
fn names<'a>(text: &'a str, stage: &str, key: &str, closing: char) -> Vec<BTreeSet<&'a str>> {
    let opening = format!("{stage} {{");
    let stages = text.split(&opening).skip(1);
    let values =
        stages.map(|rest| rest.split_once(key).expect("it has values").1.split_once(closing).expect("an end").0);
    let name = |part: &'a str| {
        part.split('=').next().unwrap_or_default().trim().trim_matches(['{', '[', '"']).trim().trim_matches('"')
    };
    values.map(|list| list.split(',').map(name).filter(|name| !name.is_empty()).collect()).collect()
}

#[test]
fn labels_are_few_and_what_has_many_values_is_metadata() {
    let alloy = read("deploy/alloy/config.alloy");
    let few = BTreeSet::from(["role", "level"]);
    let kept = names(&alloy, "stage.label_keep", "values =", ']');
    assert_eq!(kept, [few.clone(), BTreeSet::from(["role"])], "of the system, and of tasks");
    for made in [names(&alloy, "stage.labels", "values =", '}'), names(&alloy, "stage.static_labels", "values =", '}')]
    {
        assert!(!made.is_empty() && made.iter().all(|names| names.is_subset(&few)), "{made:?}");
    }
    let metadata = names(&alloy, "stage.structured_metadata", "values =", '}');
    let [system, tasks] = &metadata[..] else { panic!("of the system, and of tasks: {metadata:?}") };
    assert!(system.is_superset(&BTreeSet::from(["node", "attempt", "worker", "trace_id"])), "{system:?}");
    assert!(tasks.is_superset(&BTreeSet::from(["job", "task", "attempt", "worker", "namespace"])), "{tasks:?}");
    // Whatever becomes a label or metadata was read before.
    let read = names(&alloy, "stage.json", "expressions =", '}');
    assert!(system.is_subset(&read[0]) && few.is_subset(&read[0]) && tasks.is_subset(&read[1]), "{read:?}");
}

#[test]
fn loki_takes_metadata_and_removes_what_is_old() {
    let loki: serde_json::Value = serde_saphyr::from_str(&read("deploy/loki/loki.yml")).expect("YAML");
    let of = |path: &str| loki.pointer(path).unwrap_or_else(|| panic!("loki.yml says nothing of {path}"));
    assert_eq!(of("/schema_config/configs/0/schema"), "v13", "the first that has structured metadata");
    assert_eq!(of("/limits_config/allow_structured_metadata"), true);
    assert_eq!(of("/compactor/retention_enabled"), true);
    assert_eq!(of("/limits_config/retention_stream/0/selector"), "{role=\"task\"}");
    assert_eq!(of("/limits_config/discover_service_name"), &serde_json::json!([]), "it makes no labels of its own");
    assert_eq!(of("/server/http_listen_address"), "127.0.0.1", "it knows no users");
}
