//! The masters as rows.

use cloudai_proto::v1::Member;

use crate::top::columns::{Column, Row, Table};
use crate::top::model::Model;
use crate::top::theme::Tone;

const COLUMNS: [Column; 5] = [
    Column::new("MASTER", false, 24, 0),
    Column::new("ROLE", false, 16, 0),
    Column::new("LAG", true, 12, 0),
    Column::new("GRPC", false, 28, 1),
    Column::new("HTTP", false, 28, 2),
];

pub fn table(model: &Model) -> Table {
    Table { columns: COLUMNS.to_vec(), rows: model.status.members.iter().map(row).collect() }
}

pub fn role(member: &Member) -> String {
    let role = member.role().name();
    if member.leader { format!("{role}, leader") } else { role.to_owned() }
}

fn row(member: &Member) -> Row {
    let lag = member.lag_entries.filter(|_| !member.leader);
    let tone = match lag {
        _ if member.leader => Tone::Good,
        Some(lag) if lag > cloudai_types::limits::HEALTHY_LAG_MAX => Tone::Warn,
        Some(_) | None => Tone::Plain,
    };
    let cells = [
        member.name.clone(),
        role(member),
        lag.map_or("-".to_owned(), |lag| lag.to_string()),
        member.grpc.clone(),
        member.http.clone(),
    ];
    Row { key: member.name.clone(), cells: cells.to_vec(), tone }
}
