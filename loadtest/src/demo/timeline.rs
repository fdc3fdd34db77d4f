//! The timeline of a message as a small table.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::client::{Timeline, TimelineEntry};

pub(super) fn table(timeline: &Timeline) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["at", "stage", "wait", "run", "attempt", "outcome"]);
    for column in [0, 2, 3, 4] {
        let column = table.column_mut(column).expect("the header has six columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    for entry in &timeline.entries {
        table.add_row(row(timeline, entry));
    }
    table
}

fn row(timeline: &Timeline, entry: &TimelineEntry) -> [String; 6] {
    let first = timeline.entries.iter().map(|entry| entry.at).min().unwrap_or(entry.at);
    let stage = match entry.name.is_empty() || entry.name == entry.kind {
        true => entry.kind.clone(),
        false => format!("{} {}", entry.kind, entry.name),
    };
    [
        format!("+{} ms", (entry.at - first).num_milliseconds()),
        stage,
        millis(entry.wait_ms),
        millis(entry.run_ms),
        entry.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
        entry.outcome.clone().unwrap_or_default(),
    ]
}

fn millis(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.0} ms")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_count_from_the_first_entry() {
        let timeline: Timeline = serde_json::from_value(json!({"message_id": "msg_1", "entries": [
            {"at": "2026-11-23T10:00:00.000Z", "kind": "job", "name": "ingest_message",
             "wait_ms": 2, "run_ms": 11.6, "attempt": 1, "outcome": "done"},
            {"at": "2026-11-23T10:00:00.250Z", "kind": "event", "name": "message.sent"},
        ]}))
        .unwrap();

        assert_eq!(row(&timeline, &timeline.entries[0]), ["+0 ms", "job ingest_message", "2 ms", "12 ms", "1", "done"]);
        assert_eq!(row(&timeline, &timeline.entries[1]), ["+250 ms", "event message.sent", "", "", "", ""]);
    }
}
