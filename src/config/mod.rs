//! Text to `Config`: pure but for `load`, which reads a file, `watch`, which waits for it to change, and `certificates`, which reads
//! what it names.
//!
//! `file` reads what was written through the table in `keys`, `read` makes of it what is meant, `validate` looks across the tables.
//! They note every mistake and go on, so that a person hears of all of them at once; a configuration with one never leaves this module.

pub mod certificates;
mod diff;
mod env;
mod file;
mod keys;
pub mod model;
mod read;
mod reference;
mod report;
mod schema;
mod suggest;
pub mod urls;
mod validate;
mod value;
pub mod watch;

use std::io::Read;
use std::path::Path;

use toml::de::DeTable;

pub use diff::{Changes, diff};
pub use env::{Lookup, of_process};
pub use model::Config;
pub use reference::reference;
pub use report::{Problem, Report, Severity, Span, Warnings};
pub use schema::schema;
pub use watch::Watch;

/// Larger files are not configurations: somebody passed the wrong path.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads, parses and checks a file, with the environment of the process.
pub fn load(path: &Path) -> Result<(Config, Warnings), Report> {
    parse(&read(path)?, &path.display().to_string())
}

/// The text of a file, for `parse` and `Watch::start`.
pub fn read(path: &Path) -> Result<String, Report> {
    read_text(path).map_err(|problem| Report::new(&path.display().to_string(), "", vec![problem]))
}

fn read_text(path: &Path) -> Result<String, Problem> {
    use std::io::ErrorKind;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Problem::of_file("there is no such file"),
        ErrorKind::PermissionDenied => {
            Problem::of_file("the file may not be read").help("check its permissions and those of its directories")
        }
        ErrorKind::IsADirectory => Problem::of_file("this is a directory").help("name the file in it"),
        _ => Problem::of_file(format!("the file cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Problem::of_file("the file is larger than 16 MiB").help("is this the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::of_file(format!("the file is not UTF-8: line {line} has other bytes")).help("save it as UTF-8")
    })
}

/// Where the files are that a configuration of this name speaks of.
pub fn directory(name: &str) -> &Path {
    Path::new(name).parent().unwrap_or(Path::new(""))
}

/// Parses and checks a text, with the environment of the process and the files that it names. `name`: what messages call it, such as
/// its path; where it is one, the paths of other files are relative to its directory.
pub fn parse(text: &str, name: &str) -> Result<(Config, Warnings), Report> {
    let files = |path: &Path| read_bytes(&directory(name).join(path));
    parse_reading(text, name, &of_process, &files, None)
}

/// The same for a text that is to follow `in_force`. Certificates that can not be read at this moment are kept as they are there: a
/// renewal that is under way, or went wrong, is no reason to refuse an edit.
pub fn parse_over(text: &str, name: &str, in_force: &Config) -> Result<(Config, Warnings), Report> {
    let files = |path: &Path| read_bytes(&directory(name).join(path));
    parse_reading(text, name, &of_process, &files, Some(in_force))
}

/// Parses and checks a text; pure. A file that it names can not be read.
pub fn parse_with(text: &str, name: &str, environment: Lookup<'_>) -> Result<(Config, Warnings), Report> {
    parse_reading(text, name, environment, &|_| Err(std::io::ErrorKind::NotFound.into()), None)
}

/// What is in a file that the configuration names.
fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A device without end is no file of ours.
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `in_force`: what it is to follow.
fn parse_reading(
    text: &str,
    name: &str,
    environment: Lookup<'_>,
    files: file::Files<'_>,
    in_force: Option<&Config>,
) -> Result<(Config, Warnings), Report> {
    let (tree, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        // What stands after a syntax error may be anything; judging it would bury the error under its consequences.
        return Err(Report::new(name, text, syntax_errors(text, &syntax)));
    }
    let file = file::File::new(environment, files, in_force);
    let top = file::Section::open(&file, keys::FILE, Some(tree.get_ref()), tree.span(), "");
    let (mut config, places) = read::read(&top);
    let mut problems = validate::validate(&mut config, &places);
    problems.extend(file.into_problems());
    if problems.iter().all(|problem| problem.severity() == Severity::Warning) {
        problems.extend(validate::completeness(&config, &places));
    }
    let report = Report::new(name, text, problems);
    if report.has_errors() { Err(report) } else { Ok((config, report)) }
}

/// The errors that are not plainly the consequence of another: after a bracket left open, every line that follows looks wrong.
fn syntax_errors(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut last_seen: Option<usize> = None;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let follows = last_seen.is_some_and(|last| text.get(last..span.start).is_none_or(|between| between.matches('\n').count() <= 1));
        if !follows {
            problems.push(Problem::error(span.clone(), error.message()));
        }
        last_seen = Some(span.start);
    }
    problems
}

#[cfg(test)]
mod tests;
