//! The `Table` form of objects, which `kubectl get` prints.

use serde_json::{Value, json};

use super::object;

/// One column besides the name.
pub(crate) struct Column {
    name: String,
    kind: String,
    /// Shown by `-o wide` only.
    wide: bool,
    description: String,
    cell: Box<dyn Fn(&Value) -> Value + Send + Sync>,
}

impl Column {
    pub(crate) fn new(
        name: &str,
        kind: &str,
        cell: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        Self { name, kind, wide: false, description: String::new(), cell: Box::new(cell) }
    }

    pub(crate) fn text(name: &str, cell: impl Fn(&Value) -> String + Send + Sync + 'static) -> Self {
        Self::new(name, "string", move |object| cell(object).into())
    }

    /// How long the object exists.
    pub(crate) fn age() -> Self {
        Self::text("Age", |object| age(object::meta(object, "creationTimestamp")))
    }

    pub(crate) fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    pub(crate) fn described(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }
}

/// The columns of a kind.
pub(crate) struct Table {
    columns: Vec<Column>,
    /// Events show their time first, and their name only with `-o wide`.
    name_first: bool,
}

/// How much of the object goes into a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let columns = if columns.is_empty() { vec![Column::age()] } else { columns };
        Self { columns, name_first: true }
    }

    /// A table whose own columns include the name where it is wanted.
    pub(crate) fn without_name(columns: Vec<Column>) -> Self {
        Self { columns, name_first: false }
    }

    pub(crate) fn column_definitions(&self) -> Value {
        let name = Column::new("Name", "string", |o| object::name(o).into());
        let first = self.name_first.then_some(&name);
        let definition = |column: &Column| {
            json!({
                "name": column.name, "type": column.kind, "description": column.description,
                "format": if column.name == "Name" { "name" } else { "" },
                "priority": i32::from(column.wide),
            })
        };
        first.into_iter().chain(&self.columns).map(definition).collect()
    }

    pub(crate) fn row(&self, object: &Value, include: IncludeObject) -> Value {
        let name = self.name_first.then(|| object::name(object).into());
        let cells: Vec<Value> =
            name.into_iter().chain(self.columns.iter().map(|c| (c.cell)(object))).collect();
        let shown = match include {
            IncludeObject::None => Value::Null,
            IncludeObject::Object => object.clone(),
            IncludeObject::Metadata => partial(object),
        };
        json!({"cells": cells, "object": shown})
    }
}

/// The metadata alone, as an object.
pub(crate) fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A time as the span from then to now: `5s`, `3m20s`, `2d`.
pub(crate) fn age(since: Option<&str>) -> String {
    let Some(then) = since.and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    duration(jiff::Timestamp::now().as_second() - then.as_second())
}

fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |big: i64, b: &str, small: i64, s: &str| {
        if small == 0 { format!("{big}{b}") } else { format!("{big}{b}{small}{s}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn ages_get_coarser_as_they_grow() {
        let spans = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (660, "11m"),
            (10_800, "3h"),
            (172_800, "2d"),
        ];
        for (seconds, text) in spans {
            assert_eq!(duration(seconds), text);
        }
    }
}
