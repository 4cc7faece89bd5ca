//! Knowledge points down: no room of the house uses one that stands above it in the list of `src/ARCHITECTURE.md`.
//!
//! The document is the truth. The list's order is read from it, and every `crate::` path in the sources is an arrow to judge.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the document's order, without `/` or `.rs`.
fn rooms(document: &str) -> Vec<String> {
    let list = document.split("\n## ").find(|section| section.starts_with("The rooms")).expect("the section on rooms");
    list.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|name| name.strip_suffix('/').or_else(|| name.strip_suffix(".rs")))
        .map(str::to_owned)
        .collect()
}

/// The first names behind every `crate::` in a source text, comments aside.
fn arrows(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut targets = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // Not `$crate::` of a macro, not `the_crate::`.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$') {
            continue;
        }
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            Some(group) => targets.extend(members(group)),
            None => targets.extend(first_name(path)),
        }
    }
    targets
}

/// The first names of the members of a `{...}` group, which begins behind its bracket.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> Option<String> {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_arrow_points_up() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = rooms(&fs::read_to_string(src.join("ARCHITECTURE.md")).expect("the plan of the house"));
    let floor = |room: &str| rooms.iter().position(|other| other == room);
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let place = file.strip_prefix(&src).expect("a file below src");
        let first = place.iter().next().and_then(|part| part.to_str()).expect("a name");
        let room = first.strip_suffix(".rs").unwrap_or(first);
        if room == "lib" {
            continue;
        }
        let Some(from) = floor(room) else {
            wrong.push(format!("{}: the document does not know the room `{room}`", place.display()));
            continue;
        };
        for target in arrows(&fs::read_to_string(&file).expect("a source file")) {
            match floor(&target) {
                Some(to) if to >= from => {}
                Some(_) => wrong.push(format!("{}: `{room}` may not know `{target}`, which is above it", place.display())),
                None => wrong.push(format!("{}: `crate::{target}` is no room", place.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_plan_is_read_as_it_is_written() {
    let document = "# Plan\n\n    not/ this\n\n## The rooms, from the top down\n\n    main.rs   exit code\n    cli/      commands\n    ------- the \
                    ground\n    config/   text\n    failure.rs  the list\n\nText of `a/`.\n\n## The doors\n\n    nor/ this\n";
    assert_eq!(rooms(document), ["main", "cli", "config", "failure"]);
}

#[test]
fn every_way_to_write_an_arrow_is_seen() {
    for (source, expected) in [
        ("use crate::proxy::Proxy;", &["proxy"][..]),
        ("use crate::{failure::Failure, message::{Head, body::{Body, Frame}}, io};", &["failure", "io", "message"]),
        ("use crate::{\n    table,\n    route::{self},\n};", &["route", "table"]),
        ("let x = crate::worker::run(crate::io::clock());", &["io", "worker"]),
        ("pub(in crate::admin) fn f() {}", &["admin"]),
        ("/// See [`crate::proxy`].\n// use crate::cli;", &[]),
        ("$crate::proxy::x!(), othercrate::worker::y()", &[]),
        ("pub(crate) fn f() {}", &[]),
    ] {
        assert_eq!(arrows(source).into_iter().collect::<Vec<_>>(), expected, "{source}");
    }
}
