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
        let text = shown(&said, console.out.colour);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Outcome::Success)
}

/// What an admin has said, for reading.
pub(super) fn shown(said: &Value, colour: bool) -> String {
    drawn(said, &|look: Look, text: &str| if colour { look.paint(text) } else { text.to_owned() })
}

/// How a word is shown on a terminal.
#[derive(Clone, Copy)]
enum Look {
    Bold,
    Good,
    Bad,
    Doubtful,
}

impl Look {
    /// Of a backend's state: whoever looks at a table of fifty wants to see the one that is not up.
    fn of_state(word: &str) -> Look {
        match word {
            "up" => Look::Good,
            "down" | "ejected" | "held" => Look::Bad,
            _ => Look::Doubtful,
        }
    }

    fn paint(self, text: &str) -> String {
        let code = match self {
            Look::Bold => 1,
            Look::Good => 32,
            Look::Bad => 31,
            Look::Doubtful => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

type Paint<'a> = &'a dyn Fn(Look, &str) -> String;

/// Draws whatever the proxy said, so that an older command line shows what a newer proxy has to tell: single values first, then
/// what is nested, lists of like things as tables.
fn drawn(said: &Value, paint: Paint<'_>) -> String {
    let mut lines = Vec::new();
    draw(said, "", paint, &mut lines);
    lines.into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn draw(said: &Value, indent: &str, paint: Paint<'_>, lines: &mut Vec<String>) {
    let deeper = format!("{indent}  ");
    match said {
        Value::Object(fields) => {
            let width = fields.iter().filter(|(_, value)| is_single(value)).map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in named_first(fields).into_iter().filter(|(_, value)| is_single(value)) {
                // Padded first: an escape sequence would count as width.
                lines.push(format!("{indent}{}  {}", paint(Look::Bold, &format!("{name:<width$}")), single(value)));
            }
            for (name, value) in fields.iter().filter(|(_, value)| !is_single(value)) {
                lines.push(String::new());
                lines.push(format!("{indent}{}", paint(Look::Bold, name)));
                draw(value, &deeper, paint, lines);
            }
        }
        Value::Array(items) => match table(items) {
            Some(rows) => lines.extend(aligned(&rows, paint).into_iter().map(|row| format!("{indent}{row}"))),
            None => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        lines.push(String::new());
                    }
                    draw(item, indent, paint, lines);
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

/// What a thing is called goes before what is said of it, and how it is before the rest.
fn named_first(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut list: Vec<_> = fields.iter().collect();
    list.sort_by_key(|(name, _)| match name.as_str() {
        "name" | "address" | "id" | "certificate" => 0,
        STATE => 1,
        _ => 2,
    });
    list
}

const STATE: &str = "state";

/// The fields of an object, those of objects within as `check.streak`; `None`: there are lists or objects further down.
fn flat(fields: &serde_json::Map<String, Value>) -> Option<Vec<(String, &Value)>> {
    let mut list = Vec::new();
    for (name, value) in named_first(fields) {
        match value {
            Value::Object(inner) if inner.values().all(is_single) => {
                list.extend(inner.iter().map(|(inner, value)| (format!("{name}.{inner}"), value)));
            }
            value if is_single(value) => list.push((name.clone(), value)),
            _ => return None,
        }
    }
    Some(list)
}

/// The rows of a list of objects, a header first; `None`: it is not one. A column that has nothing to say in any row is left out.
fn table(items: &[Value]) -> Option<Vec<Vec<String>>> {
    let objects: Vec<_> = items.iter().map(|item| flat(item.as_object()?)).collect::<Option<_>>()?;
    let mut columns: Vec<&String> = Vec::new();
    for (name, _) in objects.iter().flatten().filter(|(_, value)| !value.is_null()) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    if columns.is_empty() {
        return None;
    }
    let header = columns.iter().map(|name| name.to_string()).collect();
    let cell = |fields: &Vec<(String, &Value)>, column: &String| {
        fields.iter().find(|(name, _)| name == column).map_or_else(|| "-".to_owned(), |(_, value)| single(value))
    };
    let rows = objects.iter().map(|fields| columns.iter().map(|column| cell(fields, column)).collect());
    Some(std::iter::once(header).chain(rows).collect())
}

fn aligned(rows: &[Vec<String>], paint: Paint<'_>) -> Vec<String> {
    let header = rows.first().map_or(&[][..], Vec::as_slice);
    let widths: Vec<_> = (0..header.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let line = |(at, row): (usize, &Vec<String>)| {
        let cell = |(column, cell): (usize, &String)| {
            let width = widths[column];
            // Padded first: an escape sequence would count as width.
            let padded = format!("{cell:<width$}");
            match header[column].as_str() {
                _ if at == 0 => paint(Look::Bold, &padded),
                STATE => paint(Look::of_state(cell), &padded),
                _ => padded,
            }
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ")
    };
    rows.iter().enumerate().map(line).collect()
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
        drawn(&serde_json::from_str(json).unwrap(), &|_, text| text.to_owned())
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
    fn what_is_known_of_backends_stands_in_one_line_each() {
        let json = r#"[
            { "address": "10.0.0.1:80", "weight": 1, "state": "up", "check": { "finding": "passed", "streak": 12, "since": null },
              "ejection": { "errors": 0, "reason": null } },
            { "address": "10.0.0.2:80", "weight": 3, "state": "down", "check": { "finding": "status 503", "streak": 3, "since": null },
              "ejection": { "errors": 2, "reason": null } },
            { "address": "10.0.0.3:80", "weight": 1, "state": "trial", "check": null, "ejection": { "errors": 0, "reason": null } }
        ]"#;
        let expected = "\
address      state  check.finding  check.streak  ejection.errors  weight
10.0.0.1:80  up     passed         12            0                1
10.0.0.2:80  down   status 503     3             2                3
10.0.0.3:80  trial  -              -             0                1
";
        assert_eq!(plain(json), expected);
        let coloured = drawn(&serde_json::from_str(json).unwrap(), &|look, text| look.paint(text));
        for (state, code) in [("up   ", 32), ("down ", 31), ("trial", 33)] {
            assert!(coloured.contains(&format!("\x1b[{code}m{state}\x1b[0m")), "{coloured:?}");
        }
    }

    #[test]
    fn whatever_is_said_is_drawn() {
        for (json, expected) in [
            ("null", "-\n"),
            ("[]", ""),
            ("{}", ""),
            (r#"[{"a": 1}, {"b": 2}]"#, "a  b\n1  -\n-  2\n"),
            (r#"{"name": "\u001b[2J"}"#, "name   [2J\n"),
        ] {
            assert_eq!(plain(json), expected, "{json}");
        }
    }
}
