//! `tidegate status`: what a running proxy says of itself; and `--ready`, a health check that needs no shell and no curl.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::Outcome;
use super::args::Status;
use super::client;
use super::console::Console;

/// The admin answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn status(status: &Status, console: &mut Console<'_>) -> anyhow::Result<Outcome> {
    if status.ready {
        let answer = client::ask(status.at.admin, "GET", "/ready", PATIENCE)?;
        if !answer.is_success() {
            bail!("not ready ({}): {}", answer.status, answer.body.trim());
        }
        return Ok(Outcome::Success);
    }
    let answer = client::ask(status.at.admin, "GET", "/api/status", PATIENCE)?;
    if !answer.is_success() {
        bail!("the admin at {} refused ({}): {}", status.at.admin, answer.status, answer.body.trim());
    }
    if status.json {
        writeln!(console.out, "{}", answer.body.trim_end())?;
    } else {
        let said: Value =
            serde_json::from_str(&answer.body).with_context(|| format!("what the admin at {} says is not JSON", status.at.admin))?;
        let bold = |text: &str| console.out.bold(text);
        let text = drawn(&said, &bold);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Outcome::Success)
}

/// Draws whatever the proxy said, so that an older command line shows what a newer proxy has to tell: single values first, then
/// what is nested, lists of like things as tables.
fn drawn(said: &Value, bold: &dyn Fn(&str) -> String) -> String {
    let mut lines = Vec::new();
    draw(said, "", bold, &mut lines);
    lines.into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn draw(said: &Value, indent: &str, bold: &dyn Fn(&str) -> String, lines: &mut Vec<String>) {
    let deeper = format!("{indent}  ");
    match said {
        Value::Object(fields) => {
            let width = fields.iter().filter(|(_, value)| is_single(value)).map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in named_first(fields).into_iter().filter(|(_, value)| is_single(value)) {
                // Padded first: an escape sequence would count as width.
                lines.push(format!("{indent}{}  {}", bold(&format!("{name:<width$}")), single(value)));
            }
            for (name, value) in fields.iter().filter(|(_, value)| !is_single(value)) {
                lines.push(String::new());
                lines.push(format!("{indent}{}", bold(name)));
                draw(value, &deeper, bold, lines);
            }
        }
        Value::Array(items) => match table(items) {
            Some(rows) => lines.extend(aligned(&rows).into_iter().enumerate().map(|(at, row)| {
                let row = if at == 0 { bold(&row) } else { row };
                format!("{indent}{row}")
            })),
            None => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        lines.push(String::new());
                    }
                    draw(item, indent, bold, lines);
                }
            }
        },
        one => lines.push(format!("{indent}{}", single(one))),
    }
}

/// Shown on one line: no object, and no list that has one.
fn is_single(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn single(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(single).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A terminal obeys control characters, and who answers at the address is not known for sure.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// What a thing is called goes before what is said of it.
fn named_first(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut list: Vec<_> = fields.iter().collect();
    list.sort_by_key(|(name, _)| !matches!(name.as_str(), "name" | "address" | "id"));
    list
}

/// The rows of a list of flat objects, a header first; `None`: it is not one.
fn table(items: &[Value]) -> Option<Vec<Vec<String>>> {
    let objects: Vec<_> = items.iter().map(Value::as_object).collect::<Option<_>>()?;
    if objects.iter().any(|fields| fields.values().any(|value| !is_single(value))) {
        return None;
    }
    let columns: Vec<_> = named_first(objects.first()?).into_iter().map(|(name, _)| name).collect();
    let header = columns.iter().map(|name| name.to_string()).collect();
    let rows = objects.iter().map(|fields| columns.iter().map(|name| fields.get(*name).map(single).unwrap_or_default()).collect());
    Some(std::iter::once(header).chain(rows).collect())
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>().join("  ");
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::tests::once;
    use crate::cli::tests::tidegate;

    #[test]
    fn ready_is_silent_and_anything_else_fails() {
        for (answer, options, code, out, err) in [
            (&b"HTTP/1.1 200 OK\r\n\r\nready\n"[..], &["--ready"][..], 0, "", ""),
            (b"HTTP/1.1 503 No\r\n\r\ndraining\n", &["--ready"], 1, "", "tidegate: not ready (503): draining\n"),
            (b"HTTP/1.1 200 OK\r\n\r\n{\"workers\":2}\n", &[], 0, "workers  2\n", ""),
            (b"HTTP/1.1 200 OK\r\n\r\n{\"workers\":2}\n", &["--json"], 0, "{\"workers\":2}\n", ""),
        ] {
            let (address, answering) = once(answer);
            let ended = tidegate(&[&["status", "--admin", &address.to_string()], options].concat());
            assert_eq!(ended, (code, out.to_owned(), err.to_owned()));
            answering.join().unwrap();
        }
    }

    fn plain(json: &str) -> String {
        drawn(&serde_json::from_str(json).unwrap(), &str::to_owned)
    }

    #[test]
    fn a_status_is_drawn_as_tables() {
        let json = r#"{
            "workers": 2, "version": "0.1.0", "config": { "generation": 3, "successful": true },
            "pools": [
                { "name": "app", "algorithm": "p2c", "backends": [
                    { "in_flight": 3, "address": "10.0.0.1:80", "available": true },
                    { "in_flight": 12, "address": "10.0.0.12:80", "available": false } ] },
                { "name": "api", "algorithm": "p2c", "backends": [] } ],
            "listeners": [{ "connections": 5, "name": "web", "addresses": ["[::]:80", "[::]:81"] }]
        }"#;
        let expected = "\
version  0.1.0
workers  2

config
  generation  3
  successful  true

listeners
  name  addresses         connections
  web   [::]:80, [::]:81  5

pools
  name       app
  algorithm  p2c

  backends
    address       available  in_flight
    10.0.0.1:80   true       3
    10.0.0.12:80  false      12

  name       api
  algorithm  p2c
  backends   -
";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn whatever_is_said_is_drawn() {
        for (json, expected) in
            [("null", "-\n"), ("[]", ""), ("{}", ""), (r#"[{"a": 1}, {"b": 2}]"#, "a\n1\n\n"), (r#"{"name": "\u001b[2J"}"#, "name   [2J\n")]
        {
            assert_eq!(plain(json), expected, "{json}");
        }
    }
}
