//! What is wrong with a configuration, told to the person who wrote it.
//!
//! All mistakes of a file travel together: somebody who corrects one and is then told of the next has been sent round a loop by
//! us. A report keeps the text it speaks of, for it may be shown long after the file has changed again.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A stretch of the text, in bytes.
pub type Span = Range<usize>;

/// A file full of noise has thousands of mistakes; nobody reads beyond the first page, and the log must not carry the rest.
const SHOWN_MAX: usize = 100;

/// All that was found in one file, in the order of the text; errors, warnings, or both. May be empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    name: String,
    text: String,
    problems: Vec<Problem>,
}

/// A report without errors: what is harmless but probably not meant.
pub type Warnings = Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One mistake: what is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    severity: Severity,
    message: String,
    /// `None`: it concerns the file as a whole.
    at: Option<Mark>,
    /// Other places that belong to it, such as the first of two that clash.
    also: Vec<Mark>,
    help: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Mark {
    span: Span,
    label: String,
}

impl Problem {
    pub(super) fn error(span: Span, message: impl Into<String>) -> Problem {
        Problem::new(Severity::Error, Some(span), message)
    }

    pub(super) fn warning(span: Span, message: impl Into<String>) -> Problem {
        Problem::new(Severity::Warning, Some(span), message)
    }

    /// An error that no place in the text can be blamed for.
    pub(super) fn of_file(message: impl Into<String>) -> Problem {
        Problem::new(Severity::Error, None, message)
    }

    fn new(severity: Severity, span: Option<Span>, message: impl Into<String>) -> Problem {
        let at = span.map(|span| Mark { span, label: String::new() });
        Problem { severity, message: message.into(), at, also: Vec::new(), help: None }
    }

    /// Written beside the underlining.
    pub(super) fn label(mut self, label: impl Into<String>) -> Problem {
        if let Some(mark) = &mut self.at {
            mark.label = label.into();
        }
        self
    }

    pub(super) fn also(mut self, span: Span, label: impl Into<String>) -> Problem {
        self.also.push(Mark { span, label: label.into() });
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// One sentence, without place or help.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right; `None` where the message says it all.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Where the mistake stands in the text; `None` where it concerns the file as a whole.
    pub fn span(&self) -> Option<Span> {
        self.at.as_ref().map(|mark| mark.span.clone())
    }
}

impl Report {
    /// `name`: what to call the file; usually its path as the person gave it.
    pub(super) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Report {
        problems.sort_by_key(|problem| problem.at.as_ref().map_or(0, |mark| mark.span.start));
        Report { name: name.to_owned(), text: text.to_owned(), problems }
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For a person: each mistake with its line of the file, underlined, and help. `colour`: the output is a terminal.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let shown = self.problems.iter().take(SHOWN_MAX);
        let mut blocks: Vec<String> = shown.map(|problem| renderer.render(&self.groups(problem))).collect();
        if let Some(more) = self.left_out() {
            blocks.push(more);
        }
        blocks.join("\n\n")
    }

    fn groups<'a>(&'a self, problem: &'a Problem) -> Vec<Group<'a>> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str());
        let mut group = match &problem.at {
            Some(mark) => {
                let window = self.window(problem);
                let local = |mark: &Mark| {
                    let span = self.visible(mark);
                    span.start - window.start..span.end - window.start
                };
                let mut snippet = Snippet::source(&self.text[window.clone()])
                    .path(self.name.as_str())
                    .line_start(self.position(window.start).0)
                    .annotation(AnnotationKind::Primary.span(local(mark)).label(label(mark)));
                for mark in &problem.also {
                    snippet = snippet.annotation(AnnotationKind::Context.span(local(mark)).label(label(mark)));
                }
                title.element(snippet)
            }
            None => Group::with_title(title).element(annotate_snippets::Origin::path(self.name.as_str())),
        };
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        vec![group]
    }

    /// The lines from the first mark to the last: the renderer walks all that it is given, once per mistake.
    fn window(&self, problem: &Problem) -> Span {
        let marks = || problem.at.iter().chain(&problem.also).map(|mark| self.visible(mark));
        let start = marks().map(|span| span.start).min().unwrap_or(0);
        let end = marks().map(|span| span.end).max().unwrap_or(0);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at);
        line_start..line_end
    }

    /// The part of a span that is on its first line, at character boundaries: underlining a table of fifty lines would hide the message.
    fn visible(&self, mark: &Mark) -> Span {
        let start = self.text.floor_char_boundary(mark.span.start);
        let end = self.text.floor_char_boundary(mark.span.end.max(start));
        let line = self.text[start..end].find(['\r', '\n']).map_or(end, |at| start + at);
        start..line
    }

    /// For logs: one line per mistake, `file:line:column: message (help)`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let shown = self.problems.iter().take(SHOWN_MAX).map(|problem| {
            let place = match &problem.at {
                Some(mark) => {
                    let (line, column) = self.position(mark.span.start);
                    format!("{}:{line}:{column}", self.name)
                }
                None => self.name.clone(),
            };
            let warning = if problem.severity == Severity::Warning { "warning: " } else { "" };
            match &problem.help {
                Some(help) => format!("{place}: {warning}{} ({help})", problem.message),
                None => format!("{place}: {warning}{}", problem.message),
            }
        });
        shown.chain(self.left_out())
    }

    fn left_out(&self) -> Option<String> {
        let more = self.problems.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0)?;
        Some(format!("and {more} more in {}", self.name))
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

fn label(mark: &Mark) -> Option<&str> {
    Some(mark.label.as_str()).filter(|label| !label.is_empty())
}
