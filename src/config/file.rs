//! The file as written: a tree of spanned TOML values, read through the table of keys.
//!
//! A hand-written walk and not serde: serde stops at the first mistake, and it loses spans wherever a key has two forms. Here every
//! accessor notes what is wrong, answers with a stand-in, and the walk goes on; whoever noted anything throws the result away.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::certificates;
use super::env::{self, Lookup};
use super::keys::{self, Key, Kind};
use super::model::Config;
use super::report::{Problem, Severity, Span};
use super::suggest;
use super::value::{self, Mistake, Size};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub value: T,
    pub span: Span,
}

/// How the bytes of a file that the configuration names are had.
pub type Files<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What the accessors share: the surroundings of the text, and the mistakes so far.
pub(super) struct File<'a> {
    environment: Lookup<'a>,
    files: Files<'a>,
    in_force: Option<&'a Config>,
    problems: RefCell<Vec<Problem>>,
    errors: Cell<usize>,
}

impl<'a> File<'a> {
    /// `in_force`: what the text is to follow; `None`: it is the first.
    pub fn new(environment: Lookup<'a>, files: Files<'a>, in_force: Option<&'a Config>) -> File<'a> {
        File { environment, files, in_force, problems: RefCell::default(), errors: Cell::default() }
    }

    pub fn note(&self, problem: Problem) {
        self.errors.set(self.errors.get() + usize::from(problem.severity() == Severity::Error));
        self.problems.borrow_mut().push(problem);
    }

    fn mistake(&self, span: Span, mistake: Mistake) {
        let problem = Problem::error(span, mistake.message);
        self.note(match mistake.help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// What `check` makes of a value that is read already; its mistake is noted.
    pub fn checked<T>(&self, span: &Span, check: Result<T, Mistake>) -> Option<T> {
        check.map_err(|mistake| self.mistake(span.clone(), mistake)).ok()
    }

    /// The string behind a value, its variables put in.
    fn string(&self, value: &Spanned<DeValue<'_>>, kind: &Kind) -> Option<Written<String>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, kind);
            return None;
        };
        let value_of = self.checked(&value.span(), env::expand(text, self.environment))?;
        Some(Written { value: value_of.into_owned(), span: value.span() })
    }

    fn wrong_type(&self, value: &Spanned<DeValue<'_>>, kind: &Kind) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let mistake = Mistake::new(format!("expected {}, found {found}", expected(kind)));
        self.mistake(
            value.span(),
            match (value.get_ref(), kind) {
                (DeValue::Integer(number), Kind::Duration { .. }) => mistake.help(format!("write \"{number}s\" or \"{number}ms\"")),
                (DeValue::Integer(number), Kind::Size { .. }) => mistake.help(format!("write \"{number}B\" or \"{number}KiB\"")),
                (DeValue::Integer(number), Kind::Share) => mistake.help(format!("write \"{number}%\"")),
                (DeValue::String(text), Kind::Number { .. }) if text.parse::<i64>().is_ok() => mistake.help("write it without the quotes"),
                (DeValue::String(text), Kind::Decimal { .. }) if text.parse::<f64>().is_ok() => mistake.help("write it without the quotes"),
                (DeValue::String(text), Kind::Flag) if text == "true" || text == "false" => mistake.help("write it without the quotes"),
                _ => mistake,
            },
        );
    }
}

/// One table of the file, or the absence of one, with the keys that it may have. An absent table reads as its defaults.
pub(super) struct Section<'a> {
    file: &'a File<'a>,
    keys: &'static [Key],
    table: Option<&'a DeTable<'a>>,
    /// Where the table begins; what concerns it as a whole is reported there.
    pub span: Span,
}

/// A table with a name: `[listen.NAME]`.
pub(super) struct Named<'a> {
    pub name: Written<String>,
    pub section: Section<'a>,
}

impl<'a> Section<'a> {
    /// `place`: the dotted path of the table, for messages; empty for the file itself.
    pub fn open(file: &'a File<'a>, keys: &'static [Key], table: Option<&'a DeTable<'a>>, span: Span, place: &str) -> Section<'a> {
        for (written, _) in table.into_iter().flatten() {
            match keys.iter().find(|key| key.name == written.get_ref()) {
                Some(_) => {}
                None => file.note(unknown_key(written, keys, place)),
            }
        }
        Section { file, keys, table, span }
    }

    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    fn key(&self, name: &str) -> &'static Key {
        self.keys.iter().find(|key| key.name == name).expect("what is read stands in the table of keys")
    }

    fn value(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        // Looked up by scanning: a table has few keys, and its key type cannot be borrowed as a plain `str`.
        self.table?.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    /// Where the key itself stands, if it is written.
    pub fn key_span(&self, name: &str) -> Option<Span> {
        self.table?.keys().find(|key| key.get_ref() == name).map(Spanned::span)
    }

    /// Where the value of a key stands, if it is written.
    pub fn value_span(&self, name: &str) -> Option<Span> {
        self.value(name).map(Spanned::span)
    }

    pub fn is_empty_list(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()))
    }

    pub fn note(&self, problem: Problem) {
        self.file.note(problem);
    }

    /// What a check made of a value that is read already; its mistake is noted.
    pub fn check<T>(&self, span: &Span, outcome: Result<T, Mistake>) -> Option<T> {
        self.file.checked(span, outcome)
    }

    /// Errors in the file so far.
    pub fn error_count(&self) -> usize {
        self.file.errors.get()
    }

    // ---- one value

    pub fn text(&self, name: &str) -> Option<Written<String>> {
        self.file.string(self.value(name)?, &self.key(name).kind)
    }

    /// The string of a key, or the first of its list, as written: nothing is noted, variables stay.
    pub fn first_text(&self, name: &str) -> Option<String> {
        let value = self.value(name)?.get_ref();
        let first = value.as_array().map_or(Some(value), |list| list.first().map(Spanned::get_ref))?;
        first.as_str().map(str::to_owned)
    }

    /// A string as `parse` understands it; `None` where it is absent or wrong.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, Mistake>) -> Option<Written<T>> {
        let text = self.text(name)?;
        let value = self.file.checked(&text.span, parse(&text.value))?;
        Some(Written { value, span: text.span })
    }

    /// What is in the file that a key names.
    pub fn bytes(&self, name: &str) -> Option<Written<Vec<u8>>> {
        let path = self.text(name)?;
        Some(Written { value: self.read(&path, name)?, span: path.span })
    }

    /// What is in the file at this path, which stands behind the key `name`.
    fn read(&self, path: &Written<String>, name: &str) -> Option<Vec<u8>> {
        self.file.checked(&path.span, self.try_read(&path.value, name))
    }

    /// The same for those who can do without: nothing is noted.
    pub fn try_read(&self, path: &str, name: &str) -> Result<Vec<u8>, Mistake> {
        (self.file.files)(Path::new(path)).map_err(|error| {
            let why = certificates::unreadable(&error);
            let mistake = Mistake::new(format!("`{name}`: `{}` cannot be read: {why}", path.escape_debug()));
            mistake.help("the path is relative to the directory of the configuration")
        })
    }

    /// The configuration that this one is to follow.
    pub fn in_force(&self) -> Option<&'a Config> {
        self.file.in_force
    }

    /// As `parsed`, with the key's default in place of what is absent or wrong.
    pub fn parsed_or_default<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Mistake>) -> T {
        let written = self.parsed(name, &parse).map(|written| written.value);
        written.unwrap_or_else(|| match self.key(name).default.map(parse) {
            Some(Ok(value)) => value,
            _ => panic!("the default of `{name}` is a value of its own kind"),
        })
    }

    pub fn text_or_default(&self, name: &str) -> String {
        self.parsed_or_default(name, |text| Ok(text.to_owned()))
    }

    /// One of a closed set, by the function that knows its words.
    pub fn word<T>(&self, name: &str, of: impl Fn(&str) -> Option<T>) -> T {
        self.parsed_or_default(name, |text| of(text).ok_or_else(|| no_word(name, &self.key(name).kind, text)))
    }

    /// The same for a key without a default; `None`: it is absent or wrong.
    pub fn word_if_any<T>(&self, name: &str, of: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.parsed(name, |text| of(text).ok_or_else(|| no_word(name, &self.key(name).kind, text))).map(|written| written.value)
    }

    /// One or several of a closed set; those that are none are left out.
    pub fn words<T>(&self, name: &str, of: impl Fn(&str) -> Option<T>) -> Vec<Written<T>> {
        let Kind::Many(each) = self.key(name).kind else { panic!("`{name}` is not a list") };
        self.many(name, |text| of(text).ok_or_else(|| no_word(name, each, text)))
    }

    pub fn duration(&self, name: &str) -> Duration {
        self.duration_or_none(name).unwrap_or_default()
    }

    /// `None`: the word `none`.
    pub fn duration_or_none(&self, name: &str) -> Option<Duration> {
        self.parsed_or_default(name, |text| self.parse_duration(name, text))
    }

    /// `None`: absent; for keys without a default.
    pub fn duration_override(&self, name: &str) -> Option<Option<Duration>> {
        self.parsed(name, |text| self.parse_duration(name, text)).map(|written| written.value)
    }

    fn parse_duration(&self, name: &str, text: &str) -> Result<Option<Duration>, Mistake> {
        match self.key(name).kind {
            Kind::Duration { none: true, .. } if text == "none" => Ok(None),
            Kind::Duration { zero, none } => value::duration(text, zero).map(Some).map_err(|mistake| match none {
                true if text == "0" || text == "0s" => mistake.help("write \"none\" for no limit"),
                _ => mistake,
            }),
            _ => panic!("`{name}` is not a duration"),
        }
    }

    /// In per cent.
    pub fn share(&self, name: &str) -> u32 {
        self.parsed_or_default(name, value::share)
    }

    pub fn size(&self, name: &str) -> u64 {
        self.size_or_unlimited(name).unwrap_or(u64::MAX)
    }

    /// `None`: the word `unlimited`.
    pub fn size_or_unlimited(&self, name: &str) -> Option<u64> {
        self.parsed_or_default(name, |text| self.parse_size(name, text))
    }

    /// `None`: absent; for keys without a default.
    pub fn size_override(&self, name: &str) -> Option<Option<u64>> {
        self.parsed(name, |text| self.parse_size(name, text)).map(|written| written.value)
    }

    fn parse_size(&self, name: &str, text: &str) -> Result<Option<u64>, Mistake> {
        match self.key(name).kind {
            Kind::Size { unlimited: true, .. } if text == "unlimited" => Ok(None),
            Kind::Size { min, max, .. } => match value::size(text)? {
                Size(bytes) if (min..=max).contains(&bytes) => Ok(Some(bytes)),
                _ => {
                    let help = format!("it wants a size from {} to {}", Size(min), Size(max));
                    Err(Mistake::new(format!("`{name}` cannot be {text}")).help(help))
                }
            },
            _ => panic!("`{name}` is not a size"),
        }
    }

    /// A whole number within the bounds of its key; `None`: the key's word.
    pub fn number_or_word(&self, name: &str) -> Option<Written<i64>> {
        let Kind::Number { min, max, word } = self.key(name).kind else { panic!("`{name}` is not a number") };
        let default = || {
            let value = self.key(name).default.and_then(|default| default.parse().ok())?;
            Some(Written { value, span: self.span.clone() })
        };
        let Some(written) = self.value(name) else { return default() };
        let (text, radix) = match written.get_ref() {
            DeValue::Integer(integer) => (integer.as_str().to_owned(), integer.radix()),
            // A number from the environment can only be written as a string.
            DeValue::String(text) if text.contains("${") || word == Some(text) => match self.file.string(written, &self.key(name).kind) {
                Some(text) if word == Some(&text.value) => return None,
                Some(text) => (text.value, 10),
                None => return default(),
            },
            _ => {
                self.file.wrong_type(written, &self.key(name).kind);
                return default();
            }
        };
        match i64::from_str_radix(&text, radix) {
            Ok(value) if (min..=max).contains(&value) => Some(Written { value, span: written.span() }),
            _ => {
                let mistake =
                    Mistake::new(format!("`{name}` cannot be {text}")).help(format!("it wants {}", expected(&self.key(name).kind)));
                self.file.mistake(written.span(), mistake);
                default()
            }
        }
    }

    /// A number whose key has a default and no word.
    pub fn number(&self, name: &str) -> Written<i64> {
        self.number_or_word(name).expect("a number without a word has a default")
    }

    /// A number with or without a fraction, within the bounds of its key; `None`: it is absent or wrong.
    pub fn decimal(&self, name: &str) -> Option<f64> {
        let kind = &self.key(name).kind;
        let Kind::Decimal { min, max } = kind else { panic!("`{name}` is not a decimal number") };
        let written = self.value(name)?;
        let (text, value) = match written.get_ref() {
            DeValue::Float(number) => (number.as_str().to_owned(), number.as_str().parse().ok()),
            DeValue::Integer(number) => {
                (number.as_str().to_owned(), i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64))
            }
            // As with whole numbers, those from the environment.
            DeValue::String(text) if text.contains("${") => {
                let text = self.file.string(written, kind)?.value;
                let value = text.parse().ok();
                (text, value)
            }
            _ => {
                self.file.wrong_type(written, kind);
                return None;
            }
        };
        let inside = value.filter(|value: &f64| (*min..=*max).contains(value));
        if inside.is_none() {
            let mistake = Mistake::new(format!("`{name}` cannot be {text}")).help(format!("it wants {}", expected(kind)));
            self.file.mistake(written.span(), mistake);
        }
        inside
    }

    /// A boolean whose key has a default.
    pub fn flag(&self, name: &str) -> bool {
        let key = self.key(name);
        let default = key.default == Some("true");
        match self.value(name) {
            None => default,
            Some(written) => match written.get_ref() {
                DeValue::Boolean(value) => *value,
                DeValue::String(text) if text.contains("${") => match self.file.string(written, &key.kind) {
                    Some(text) if text.value == "true" || text.value == "false" => text.value == "true",
                    Some(text) => {
                        let mistake = Mistake::new(format!("`{name}` cannot be {}", text.value.escape_debug()));
                        self.file.mistake(text.span, mistake.help("it wants true or false"));
                        default
                    }
                    None => default,
                },
                _ => {
                    self.file.wrong_type(written, &key.kind);
                    default
                }
            },
        }
    }

    pub fn address_or_default(&self, name: &str) -> SocketAddr {
        self.parsed_or_default(name, value::address)
    }

    // ---- several

    /// One or a list, each as `parse` understands it; those that are wrong are left out.
    pub fn many<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Mistake>) -> Vec<Written<T>> {
        let Kind::Many(each) = self.key(name).kind else { panic!("`{name}` is not a list") };
        let Some(written) = self.value(name) else { return Vec::new() };
        let one = |value: &Spanned<DeValue<'_>>, kind: &Kind| {
            let text = self.file.string(value, kind)?;
            Some(Written { value: self.file.checked(&text.span, parse(&text.value))?, span: text.span })
        };
        match written.get_ref() {
            DeValue::Array(list) if list.is_empty() => {
                self.note(Problem::error(written.span(), format!("`{name}` is empty")).help("write at least one value"));
                Vec::new()
            }
            DeValue::Array(list) => list.iter().filter_map(|value| one(value, each)).collect(),
            _ => one(written, &self.key(name).kind).into_iter().collect(),
        }
    }

    /// A table of strings, in the order of the file.
    pub fn pairs(&self, name: &str) -> Vec<(Written<String>, Written<String>)> {
        let Some(written) = self.value(name) else { return Vec::new() };
        let DeValue::Table(table) = written.get_ref() else {
            self.file.wrong_type(written, &self.key(name).kind);
            return Vec::new();
        };
        let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let name = Written { value: key.get_ref().to_string(), span: key.span() };
            Some((name, self.file.string(value, &Kind::Text)?))
        };
        table.iter().filter_map(pair).collect()
    }

    /// The table behind a key; absent or wrong, one that reads as its defaults.
    pub fn table(&self, name: &str, place: &str) -> Section<'a> {
        let Kind::Table(keys) = self.key(name).kind else { panic!("`{name}` is not a table") };
        let (table, span) = match self.value(name) {
            Some(written) => match written.get_ref() {
                DeValue::Table(table) => (Some(table), self.key_span(name).unwrap_or_else(|| written.span())),
                _ => {
                    let problem = Problem::error(written.span(), format!("`{name}` is a table"));
                    self.note(problem.help(format!("write `{name} = {}`", self.key(name).example)));
                    (None, written.span())
                }
            },
            None => (None, self.span.clone()),
        };
        Section::open(self.file, keys, table, span, &join(place, name))
    }

    /// The table behind a key that may also hold the value of the table's first key alone; then every other key of it reads as its
    /// default. `None`: the key is not written, or neither of the two.
    pub fn short(&self, name: &str, place: &str) -> Option<(Option<Written<String>>, Section<'a>)> {
        let Kind::Short(keys) = self.key(name).kind else { panic!("`{name}` has no short form") };
        let written = self.value(name)?;
        let span = self.key_span(name).unwrap_or_else(|| written.span());
        let open = |table| Section::open(self.file, keys, table, span, &join(place, name));
        match written.get_ref() {
            DeValue::Table(table) => Some((None, open(Some(table)))),
            DeValue::String(_) => Some((Some(self.file.string(written, &keys[0].kind)?), open(None))),
            _ => {
                self.file.wrong_type(written, &self.key(name).kind);
                None
            }
        }
    }

    /// The tables of `[name.NAME]`, in the order of the file.
    pub fn named(&self, name: &str) -> Vec<Named<'a>> {
        let Kind::Named(keys) = self.key(name).kind else { panic!("`{name}` has no names") };
        let Some(written) = self.value(name) else { return Vec::new() };
        let help = format!("each one has a name: `[{name}.web]`");
        let DeValue::Table(tables) = written.get_ref() else {
            self.note(Problem::error(written.span(), format!("`{name}` is not a table of tables")).help(help));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (key, value) in tables {
            match value.get_ref() {
                DeValue::Table(table) => {
                    self.file.checked(&key.span(), value::name(key.get_ref()));
                    let section = Section::open(self.file, keys, Some(table), key.span(), &format!("{name}.{}", key.get_ref()));
                    sections.push(Named { name: Written { value: key.get_ref().to_string(), span: key.span() }, section });
                }
                DeValue::Array(_) => {
                    let problem = Problem::error(key.span(), format!("`{name}.{}` is one table, not a list", key.get_ref().escape_debug()));
                    self.note(problem.help(format!("write `[{name}.{}]`, in single brackets", key.get_ref().escape_debug())));
                }
                _ => {
                    let message = format!("`{}` stands in `[{name}]`, which holds named tables only", key.get_ref().escape_debug());
                    self.note(Problem::error(key.span(), message).help(help.clone()));
                }
            }
        }
        sections
    }

    /// The tables of `[[name]]`.
    pub fn repeated(&self, name: &str) -> Vec<Section<'a>> {
        let Kind::Repeated(keys) = self.key(name).kind else { panic!("`{name}` does not repeat") };
        let Some(written) = self.value(name) else { return Vec::new() };
        let wrong = |span: Span| {
            self.note(Problem::error(span, format!("`{name}` is a list of tables")).help(format!("write `[[{name}]]`, in double brackets")))
        };
        let DeValue::Array(list) = written.get_ref() else {
            wrong(self.key_span(name).unwrap_or_else(|| written.span()));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for value in list {
            match value.get_ref() {
                DeValue::Table(table) => sections.push(Section::open(self.file, keys, Some(table), value.span(), name)),
                _ => wrong(value.span()),
            }
        }
        sections
    }

    /// A list whose entries are tables, or the first key's value alone: then a table with only that key is what `short` makes of it.
    pub fn entries<T>(
        &self,
        name: &str,
        place: &str,
        short: impl Fn(Written<String>) -> Option<T>,
        long: impl Fn(Section<'a>) -> Option<T>,
    ) -> Vec<T> {
        let Kind::Entries(keys) = self.key(name).kind else { panic!("`{name}` has no entries") };
        let Some(written) = self.value(name) else { return Vec::new() };
        let DeValue::Array(list) = written.get_ref() else {
            self.file.wrong_type(written, &self.key(name).kind);
            return Vec::new();
        };
        let each = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => long(Section::open(self.file, keys, Some(table), value.span(), &join(place, name))),
            _ => short(self.file.string(value, &keys[0].kind)?),
        };
        list.iter().filter_map(each).collect()
    }
}

/// What to say of a text that is none of the words of its key.
fn no_word(name: &str, kind: &Kind, text: &str) -> Mistake {
    let Kind::Word(words) = kind else { panic!("`{name}` is not a word") };
    let there_are = suggest::there_are(&quoted(words));
    let mistake = Mistake::new(format!("`{}` is not one of the words for `{name}`", text.escape_debug()));
    match suggest::closest(text, words.iter().copied()) {
        Some(word) => mistake.help(format!("did you mean \"{word}\"? {there_are}")),
        None => mistake.help(there_are),
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn unknown_key(written: &Spanned<std::borrow::Cow<'_, str>>, keys: &'static [Key], place: &str) -> Problem {
    let name: &str = written.get_ref();
    let table = if place.is_empty() { "at the top of the file".to_owned() } else { format!("in `{place}`") };
    let problem = Problem::error(written.span(), format!("unknown key `{}` {table}", name.escape_debug())).label("unknown key");
    let homes = keys::homes(name);
    if !homes.is_empty() {
        return problem.help(format!("it belongs {}", homes.join(" or ")));
    }
    if let Some(meant) = suggest::closest(name, keys.iter().map(|key| key.name)) {
        return problem.help(format!("did you mean `{meant}`?"));
    }
    let mut elsewhere = Vec::new();
    keys::walk(keys::FILE, "", &mut |_, key| elsewhere.push(key.name));
    if let Some(meant) = suggest::closest(name, elsewhere) {
        return problem.help(format!("did you mean `{meant}`? It belongs {}", keys::homes(meant).join(" or ")));
    }
    let known: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
    problem.help(suggest::there_are(&known))
}

/// What a key wants, for "expected ...".
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text => "a string".to_owned(),
        Kind::Word(words) => match words {
            [only] => format!("\"{only}\""),
            words => format!("one of {}", quoted(words).join(", ")),
        },
        Kind::Duration { none: false, .. } => "a duration in quotes such as \"30s\"".to_owned(),
        Kind::Duration { none: true, .. } => "a duration in quotes such as \"30s\", or \"none\"".to_owned(),
        Kind::Size { unlimited: false, .. } => "a size in quotes such as \"16KiB\"".to_owned(),
        Kind::Size { unlimited: true, .. } => "a size in quotes such as \"16KiB\", or \"unlimited\"".to_owned(),
        Kind::Number { min, max, word: None } => format!("a whole number from {min} to {max}"),
        Kind::Number { min, max, word: Some(word) } => format!("a whole number from {min} to {max}, or \"{word}\""),
        Kind::Share => "a share in quotes such as \"20%\"".to_owned(),
        Kind::Decimal { min, max } => format!("a number from {min} to {max}"),
        Kind::Flag => "true or false".to_owned(),
        Kind::Address => "an address in quotes such as \"127.0.0.1:8080\"".to_owned(),
        Kind::Network => "a network in quotes such as \"10.0.0.0/8\"".to_owned(),
        Kind::Many(each) => format!("{}, or a list", expected(each)),
        Kind::Entries(_) => "a list such as [\"10.0.0.1:8080\"]".to_owned(),
        Kind::Pairs => "a table of strings such as { name = \"value\" }".to_owned(),
        Kind::Short(keys) => format!("a table, or its `{}` alone", keys[0].name),
        Kind::Table(_) | Kind::Named(_) | Kind::Repeated(_) => "a table".to_owned(),
    }
}

fn quoted(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("\"{word}\"")).collect()
}
