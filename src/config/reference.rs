//! The reference of the file as Markdown: every key with its type, default, meaning and example, made from the table of keys.

use std::fmt::Write;

use super::file::expected;
use super::keys::{self, FILE, Key, Kind};

const HEAD: &str = "\
# The configuration file

One TOML file. Unknown keys are errors. Durations are strings with a unit (`\"500ms\"`, `\"1m 30s\"`), sizes too (`\"16KiB\"`, `\"1MB\"`).
In any string, `${NAME}` and `${NAME:-default}` stand for environment variables, `$${` for a literal `${`; a number may be written as
such a string. `tidegate check FILE` reports every mistake at once.

This page is made by `tidegate schema --reference`.
";

/// The reference as committed in `config/REFERENCE.md`.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for key in FILE {
        let place = match key.kind {
            Kind::Named(_) => format!("{}.NAME", key.name),
            _ => key.name.to_owned(),
        };
        write!(page, "\n## {}\n\n{}\n", keys::header(&place), key.doc).expect("a string takes all");
        table(&mut page, key);
    }
    page
}

/// The rows of a table, those of its inner tables among them as `timeout.connect`.
fn table(page: &mut String, top: &'static Key) {
    page.push_str("\n| key | value | default | meaning | example |\n|---|---|---|---|---|\n");
    let (Kind::Table(keys) | Kind::Named(keys) | Kind::Repeated(keys)) = top.kind else { return };
    keys::walk(keys, "", &mut |place, key| {
        let name = if place.is_empty() { key.name.to_owned() } else { format!("{place}.{}", key.name) };
        let default = match (key.default, key.kind) {
            (Some(default), Kind::Number { .. }) if default.parse::<i64>().is_ok() => format!("`{default}`"),
            (Some(default), Kind::Flag) => format!("`{default}`"),
            (Some(default), _) => format!("`\"{default}\"`"),
            (None, _) => String::new(),
        };
        let value = cell(&expected(&key.kind));
        writeln!(page, "| `{name}` | {value} | {default} | {} | `{}` |", cell(key.doc), cell(key.example)).expect("a string takes all");
    });
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
