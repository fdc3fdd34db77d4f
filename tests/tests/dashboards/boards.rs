//! The form of the dashboards: what Grafana needs to show them, and what makes eight files read as one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{BOARDS, dashboards};

/// Grafana's grid.
const COLUMNS: u64 = 24;
const KINDS: [&str; 5] = ["row", "stat", "timeseries", "bargauge", "text"];
/// Units of Grafana that are in use.
const UNITS: [&str; 7] = ["short", "percentunit", "s", "bytes", "reqps", "ops", "currencyUSD"];

fn board(name: &str) -> Value {
    serde_json::from_str(&dashboards(&format!("grafana/{name}.json"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn panels(board: &Value) -> &Vec<Value> {
    board["panels"].as_array().expect("panels")
}

/// Cells of the grid that a panel covers.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
    assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{panel}");
    (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).collect()
}

#[test]
fn every_dashboard_has_its_frame() {
    let files = std::fs::read_dir(super::root().join("dashboards/grafana")).unwrap();
    let files: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let known = BOARDS.map(|name| format!("{name}.json")).into_iter().chain(["provisioning".to_owned()]);
    assert_eq!(files, known.collect());
    let mut titles = BTreeSet::new();
    for name in BOARDS {
        let board = board(name);
        assert_eq!(board["uid"], format!("metachat-{name}"));
        assert!(titles.insert(board["title"].as_str().expect("a title").to_owned()), "{name}: its title is another's");
        assert!(!board["description"].as_str().expect("a description").is_empty());
        assert_eq!(board["id"], Value::Null, "{name}: Grafana gives it");
        assert_eq!(board["tags"], serde_json::json!(["metachat"]));
        let link = &board["links"][0];
        assert_eq!(
            (&link["type"], &link["tags"]),
            (&"dashboards".into(), &board["tags"]),
            "{name}: links to the others"
        );
        let variables = board["templating"]["list"].as_array().expect("variables");
        assert_eq!(
            (&variables[0]["name"], &variables[0]["type"]),
            (&"datasource".into(), &"datasource".into()),
            "{name}"
        );
    }
}

#[test]
fn every_panel_has_a_place_a_unit_and_something_to_say() {
    for name in BOARDS {
        let board = board(name);
        let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in panels(&board) {
            let (kind, title) = (panel["type"].as_str().unwrap(), panel["title"].as_str().unwrap());
            assert!(KINDS.contains(&kind), "{name}: {title} is a {kind}");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: the id of {title} is another's");
            for cell in cells(panel) {
                assert!(taken.insert(cell), "{name}: {title} lies on another panel at {cell:?}");
            }
            if ["row", "text"].contains(&kind) {
                continue;
            }
            assert!(titles.insert(title), "{name}: {title} is there twice");
            let described = panel["description"].as_str().is_some_and(|text| text.ends_with('.'));
            assert!(described, "{name}: {title} has no description");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {title}");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
            assert!(UNITS.contains(&unit), "{name}: {title} is in {unit:?}");
            let targets = panel["targets"].as_array().expect("targets");
            let refs: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert!(!targets.is_empty() && refs.len() == targets.len(), "{name}: {title}");
            let legends = targets.iter().all(|target| kind == "stat" || target["legendFormat"] != "");
            assert!(legends, "{name}: a line of {title} has no name");
        }
    }
}

#[test]
fn variables_in_queries_are_the_dashboards_own() {
    for name in BOARDS {
        let board = board(name);
        let known = board["templating"]["list"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
        let known: BTreeSet<&str> = known.chain(["__rate_interval", "__range"]).collect();
        for target in panels(&board).iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
            let query = target["expr"].as_str().unwrap();
            for after in query.split('$').skip(1) {
                let variable =
                    after.split(|character: char| !(character.is_ascii_lowercase() || character == '_')).next();
                assert!(known.contains(variable.unwrap()), "{name}: {query}");
            }
        }
    }
}
