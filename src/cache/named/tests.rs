use super::*;
use crate::cache::policy::{Admitted, Terms};
use crate::message::{Length, Version};
use crate::telemetry::Registry;

fn cache(memory: u64, object: u64) -> Arc<Cache> {
    Arc::new(Cache::new("main", memory, object, Registry::new().cache("main")))
}

fn url(target: &str) -> Url<'_> {
    Url { secure: false, authority: b"a", target: target.as_bytes() }
}

fn sought(target: &str) -> Sought {
    asked_for(target, "")
}

/// In a situation of its own.
fn asked_for(target: &str, situation: &str) -> Sought {
    let mut sought = Sought::default();
    sought.set(|out| Spelling::default().write(&url(target), out), |out| out.extend_from_slice(situation.as_bytes()));
    sought
}

fn opened(vary: &[&str]) -> Opened {
    let terms = Terms::fresh(Duration::from_secs(9));
    let mut head = Head::response(200, b"", Version::Http11);
    head.fields.append(b"Vary", vary.join(",").as_bytes());
    let admitted = Admitted { terms, vary: Vary::of(&head.fields).expect("names"), withheld: Vec::new() };
    Opened { head, admitted, variant: Vec::new(), length: Length::Unknown }
}

fn lead(cache: &Arc<Cache>, sought: &Sought) -> Lead {
    match cache.join(sought, Instant::now()) {
        Join::Lead(lead) => lead,
        Join::Wait(_) => panic!("somebody leads already"),
    }
}

fn waits(cache: &Arc<Cache>, sought: &Sought) -> Option<Arc<Fill>> {
    match cache.join(sought, Instant::now()) {
        Join::Lead(_) => None,
        Join::Wait(fill) => Some(fill),
    }
}

/// Fetches an answer for this request, as the origin says that it varies.
fn fill(cache: &Arc<Cache>, url: &str, vary: &[&str], fields: &Fields) {
    let mut sought = sought(url);
    cache.find(&mut sought, fields);
    let mut led = lead(cache, &sought);
    led.open(opened(vary));
    led.pour(Bytes::from_static(b"body"));
    led.finish(fields);
}

fn has(cache: &Cache, url: &str, fields: &Fields) -> bool {
    matches!(cache.find(&mut sought(url), fields), Found::Object(_))
}

#[test]
fn one_leads_and_the_others_wait_until_it_is_over() {
    let (cache, sought) = (cache(1 << 20, 1 << 16), sought("/"));
    let led = lead(&cache, &sought);
    assert!(waits(&cache, &sought).is_some());
    drop(led);
    assert!(waits(&cache, &sought).is_none(), "nobody leads, so who comes does");
    let led = lead(&cache, &sought);
    led.release();
    let (one, other) = (lead(&cache, &sought), lead(&cache, &sought));
    drop((one, other));
}

#[test]
fn who_waits_for_one_that_fails_leads_in_turn() {
    let (cache, sought) = (cache(1 << 20, 1 << 16), sought("/"));
    let seen = |fill: &Fill| match fill.poll_seen(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(super::super::fill::Seen::Settled(settled)) => settled,
        _ => panic!("it is over"),
    };
    let led = lead(&cache, &sought);
    let fill = waits(&cache, &sought).expect("somebody leads");
    led.fail(Some(Failure::UpstreamReset));
    assert!(matches!(seen(&fill), Settled::Failed(Some(Failure::UpstreamReset))));
    let led = lead(&cache, &sought);
    let fill = waits(&cache, &sought).expect("the next leads, and is waited for");
    // Nobody knows that its answer could not be shared.
    drop(led);
    assert!(matches!(seen(&fill), Settled::Failed(_)));
    let led = lead(&cache, &sought);
    let fill = waits(&cache, &sought).expect("and the next");
    led.release();
    assert!(matches!(seen(&fill), Settled::Released));
    assert!(waits(&cache, &sought).is_none(), "all ask for themselves");
}

#[test]
fn a_slow_leader_is_succeeded_once() {
    let (cache, sought) = (cache(1 << 20, 1 << 16), sought("/"));
    let slow = lead(&cache, &sought);
    let now = Instant::now();
    let Join::Lead(next) = cache.succeed(&sought, &slow.fill, now) else { panic!("nobody else was quicker") };
    let Join::Wait(fill) = cache.succeed(&sought, &slow.fill, now) else { panic!("somebody was") };
    assert!(Arc::ptr_eq(&fill, &next.fill));
}

#[test]
fn answers_that_vary_are_a_family_that_grows_by_names_and_goes_at_once() {
    let cache = cache(1 << 20, 1 << 16);
    let (german, english) = (Fields::of(&[("Accept-Language", "de")]), Fields::of(&[("Accept-Language", "en")]));
    fill(&cache, "/", &["Accept-Language"], &german);
    assert!(has(&cache, "/", &german) && !has(&cache, "/", &english));
    assert!(matches!(cache.find(&mut sought("/"), &english), Found::OtherVariants));
    fill(&cache, "/", &["Accept-Language"], &english);
    assert!(has(&cache, "/", &german) && has(&cache, "/", &english));
    // An answer that varies on nothing does not stand in for those that do.
    fill(&cache, "/", &[], &Fields::of(&[]));
    assert!(has(&cache, "/", &german) && has(&cache, "/", &Fields::of(&[])));
    fill(&cache, "/", &["X-Team"], &english);
    assert!(has(&cache, "/", &english));
    assert!(!has(&cache, "/", &Fields::of(&[("Accept-Language", "en"), ("X-Team", "a")])));
    cache.invalidate(&url("/"));
    assert!(!has(&cache, "/", &german) && !has(&cache, "/", &english));
}

#[test]
fn what_was_asked_for_before_a_change_is_not_kept_after_it() {
    let cache = cache(1 << 20, 1 << 16);
    let changes: [fn(&Cache); 2] = [
        |cache| cache.invalidate(&url("/")),
        |cache| {
            cache.taint(|_, _| true);
            cache.purge_all(Fate::Goes);
        },
    ];
    for change in changes {
        let mut led = lead(&cache, &sought("/"));
        led.open(opened(&[]));
        led.pour(Bytes::from_static(b"old"));
        change(&cache);
        led.finish(&Fields::of(&[]));
        assert!(!has(&cache, "/", &Fields::of(&[])));
        fill(&cache, "/", &[], &Fields::of(&[]));
        assert!(has(&cache, "/", &Fields::of(&[])));
        change(&cache);
        assert!(!has(&cache, "/", &Fields::of(&[])));
    }
}

#[test]
fn what_is_too_much_is_not_kept_and_frees_its_room() {
    let cache = cache(1 << 20, 1 << 10);
    let mut led = lead(&cache, &sought("/"));
    led.open(opened(&[]));
    let reader = led.fill.reader();
    led.pour(Bytes::from(vec![0; 1 << 11]));
    led.pour(Bytes::from(vec![0; 1 << 11]));
    assert!(led.fill.is_narrow());
    assert!(waits(&cache, &sought("/")).is_none());
    led.finish(&Fields::of(&[]));
    assert!(!has(&cache, "/", &Fields::of(&[])));
    drop(reader);
    assert_eq!(cache.content_beside(), 0);
}

/// Whoever reads slowly holds what he reads, kept or not. Beyond a part of the memory nothing more is taken in.
#[test]
fn what_is_read_after_it_has_gone_counts() {
    let cache = cache(1 << 20, 100 << 10);
    let large = |target: &str| {
        let mut led = lead(&cache, &sought(target));
        led.open(opened(&[]));
        let reader = led.fill.reader().expect("nothing is gone yet");
        led.pour(Bytes::from(vec![0; 60 << 10]));
        let is_kept = !led.fill.is_narrow();
        led.finish(&Fields::of(&[]));
        (is_kept, reader)
    };
    let (is_kept, slow) = large("/1");
    assert!(is_kept && has(&cache, "/1", &Fields::of(&[])));
    assert_eq!(cache.content_beside(), 0, "it is read, but it is also kept");
    cache.invalidate(&url("/1"));
    assert_eq!(cache.content_beside(), 60 << 10);
    assert!(!large("/2").0, "there is no room beside");
    drop(slow);
    assert_eq!(cache.content_beside(), 0);
    assert!(large("/3").0);
}

#[test]
fn a_cache_that_is_rebuilt_keeps_what_is_kept() {
    let cache = cache(64 << 20, 64 << 10);
    let german = Fields::of(&[("Accept-Language", "de")]);
    fill(&cache, "/", &["Accept-Language"], &german);
    let _slow = lead(&cache, &sought("/slow"));
    let other = cache.resize(64 << 20, 16 << 20).expect("other shards");
    assert!(has(&other, "/", &german) && !has(&cache, "/", &german));
    assert_eq!((other.object_bytes_max(), other.kept.bytes()), (16 << 20, 4));
    fill(&other, "/2", &["X-Team"], &german);
    assert!(has(&other, "/", &german) && has(&other, "/2", &german), "families are not mixed up");
    assert!(other.resize(64 << 20, 16 << 20).is_none() && other.resize(65 << 20, 16 << 20).is_none());
}

/// Fetches an answer in this situation.
fn fill_in(cache: &Arc<Cache>, situation: &str, vary: &[&str]) {
    let mut sought = asked_for("/", situation);
    cache.find(&mut sought, &Fields::of(&[]));
    let led = lead(cache, &sought);
    led.open(opened(vary));
    led.finish(&Fields::of(&[]));
}

#[test]
fn what_is_kept_in_one_situation_is_not_found_in_another_and_goes_with_it() {
    let cache = cache(1 << 20, 1 << 16);
    let there = |situation: &str| matches!(cache.find(&mut asked_for("/", situation), &Fields::of(&[])), Found::Object(_));
    fill_in(&cache, "one", &[]);
    assert_eq!([there("one"), there("two"), there("")], [true, false, false]);
    assert!(matches!(cache.find(&mut asked_for("/", "two"), &Fields::of(&[])), Found::OtherVariants));
    // From the second on they lie beside each other.
    ["two", "one", ""].iter().for_each(|situation| fill_in(&cache, situation, &[]));
    assert_eq!([there("one"), there("two"), there(""), there("on")], [true, true, true, false]);
    fill_in(&cache, "two", &["X-Team"]);
    cache.invalidate(&url("/"));
    assert_eq!([there("one"), there("two"), there("")], [false; 3]);
}

#[test]
fn a_change_is_one_in_all_spellings() {
    let cache = cache(1 << 20, 1 << 16);
    let sorted = Spelling { sort_query: true, ..Spelling::default() };
    cache.spell([Spelling::default(), sorted.clone(), Spelling::default()].into_iter());
    assert_eq!(cache.spelled(&url("/?b&a")).len(), 2);
    let mut sought = Sought::default();
    sought.set(|out| sorted.write(&url("/?a&b"), out), |_| {});
    let led = lead(&cache, &sought);
    led.open(opened(&[]));
    led.finish(&Fields::of(&[]));
    assert!(matches!(cache.find(&mut sought, &Fields::of(&[])), Found::Object(_)));
    cache.invalidate(&url("/?b&a"));
    assert!(matches!(cache.find(&mut sought, &Fields::of(&[])), Found::Nothing));
}

#[test]
fn what_was_asked_for_earlier_takes_no_place_of_what_is_newer() {
    let is = |cache: &Cache, text: &str| match cache.find(&mut sought("/"), &Fields::of(&[])) {
        Found::Object(object) => object.head.fields.find("x-a").next() == Some(text.as_bytes()),
        _ => false,
    };
    let answer = |text: &str, vary: &[&str]| {
        let mut opened = opened(vary);
        opened.head.fields.append(b"X-A", text.as_bytes());
        opened
    };
    for vary in [&[][..], &["X-Team"]] {
        let cache = cache(1 << 20, 1 << 16);
        let slow = lead(&cache, &sought("/"));
        let later = slow.fill.began + Duration::from_millis(1);
        let Join::Lead(quick) = cache.succeed(&sought("/"), &slow.fill, later) else { panic!("nobody else was quicker") };
        quick.open(answer("new", vary));
        quick.finish(&Fields::of(&[]));
        slow.open(answer("old", vary));
        slow.finish(&Fields::of(&[]));
        assert!(is(&cache, "new"));
    }
    // Nor does the word that the old one still holds, or that it does not.
    let cache = cache(1 << 20, 1 << 16);
    fill(&cache, "/", &[], &Fields::of(&[]));
    let Found::Object(known) = cache.find(&mut sought("/"), &Fields::of(&[])) else { panic!("it is kept") };
    let (confirming, forgetting) = (cache.lead_alone(&sought("/"), Instant::now()), cache.lead_alone(&sought("/"), Instant::now()));
    let led = cache.lead_alone(&sought("/"), Instant::now());
    led.open(answer("new", &[]));
    led.finish(&Fields::of(&[]));
    confirming.confirm(&known, known.head.compact(), known.terms);
    assert!(is(&cache, "new"));
    forgetting.forget(&known);
    assert!(is(&cache, "new"));
}

/// Fetches this part of ten bytes, with so many of its own.
fn fill_part(cache: &Arc<Cache>, tag: &str, part: Range<u64>, bytes: u64) {
    let mut led = cache.lead_alone(&sought("/"), Instant::now());
    let mut opened = opened(&[]);
    opened.head.fields.append(b"ETag", tag.as_bytes());
    led.of_part(part.clone(), 10);
    led.open(opened);
    led.pour((part.start..part.start + bytes).map(|at| at as u8).collect::<Vec<u8>>().into());
    led.finish(&Fields::of(&[]));
}

#[test]
fn parts_are_joined_and_take_no_place_of_a_whole() {
    let cache = cache(1 << 20, 1 << 16);
    let kept = || match cache.find(&mut sought("/"), &Fields::of(&[])) {
        Found::Object(object) => Some((object.head.fields.find("etag").next().map(<[u8]>::to_vec), object.content.here())),
        _ => None,
    };
    let is = |tag: &str, bytes| kept() == Some((Some(tag.as_bytes().to_vec()), bytes));
    fill_part(&cache, "\"a\"", 0..4, 3);
    assert_eq!(kept(), None, "it is shorter than it says");
    fill_part(&cache, "\"a\"", 0..4, 4);
    fill_part(&cache, "\"a\"", 3..6, 3);
    assert!(is("\"a\"", 6));
    fill_part(&cache, "\"b\"", 6..10, 4);
    assert!(is("\"b\"", 4), "it is of another content");
    fill_part(&cache, "\"b\"", 0..8, 8);
    assert!(is("\"b\"", 10));
    fill_part(&cache, "\"c\"", 0..4, 4);
    assert!(is("\"b\"", 10), "a whole is more than a part");
    assert_eq!((cache.content_beside(), cache.kept.bytes()), (0, 10));
    cache.invalidate(&url("/"));
    assert_eq!((kept(), cache.content.bytes()), (None, 0));
}

#[test]
fn a_part_that_was_asked_for_later_takes_nothing_from_the_whole_it_is_of() {
    for tag in ["\"a\"", "\"b\""] {
        let cache = cache(1 << 20, 1 << 16);
        let mut whole = cache.lead_alone(&sought("/"), Instant::now());
        let mut opened = opened(&[]);
        opened.head.fields.append(b"ETag", b"\"a\"");
        whole.open(opened);
        fill_part(&cache, tag, 0..4, 4);
        whole.pour((0..10).collect::<Vec<u8>>().into());
        whole.finish(&Fields::of(&[]));
        let Found::Object(kept) = cache.find(&mut sought("/"), &Fields::of(&[])) else { panic!("something is kept") };
        assert_eq!(kept.content.is_whole(), tag == "\"a\"", "{tag}: of another content, the later one is right");
    }
    let cache = cache(1 << 20, 1 << 16);
    let mut early = cache.lead_alone(&sought("/"), Instant::now());
    fill_part(&cache, "\"a\"", 4..10, 6);
    let mut opened = opened(&[]);
    opened.head.fields.append(b"ETag", b"\"a\"");
    early.of_part(0..4, 10);
    early.open(opened);
    early.pour((0..4).collect::<Vec<u8>>().into());
    early.finish(&Fields::of(&[]));
    let Found::Object(kept) = cache.find(&mut sought("/"), &Fields::of(&[])) else { panic!("something is kept") };
    assert!(kept.content.is_whole(), "both are of one");
}

#[test]
fn what_is_out_of_date_goes_from_what_has_taken_its_place_too() {
    let (old, none) = (cache(64 << 20, 1 << 16), Fields::default());
    ["/a", "/b", "/c"].into_iter().for_each(|url| fill(&old, url, &[], &none));
    let heir = old.resize(64 << 20, 16 << 20).expect("other shards");
    let last = heir.resize(64 << 20, 1 << 16).expect("other shards");
    old.invalidate(&url("/a"));
    assert!(!has(&last, "/a", &none) && has(&last, "/b", &none) && has(&last, "/c", &none));
    let Found::Object(known) = last.find(&mut sought("/b"), &none) else { panic!("it is there") };
    lead(&heir, &sought("/b")).forget(&known);
    assert!(!has(&last, "/b", &none) && has(&last, "/c", &none));
}

#[test]
fn nothing_that_is_out_of_date_survives_a_move_that_is_under_way() {
    let none = Fields::default();
    let urls: Vec<String> = (0..400).map(|n| format!("/{n}")).collect();
    for from in [0, 100, 200] {
        let old = cache(64 << 20, 1 << 16);
        urls.iter().for_each(|url| fill(&old, url, &[], &none));
        let heir = std::thread::scope(|scope| {
            let invalidate = || urls[from..].iter().chain(&urls[..from]).for_each(|target| old.invalidate(&url(target)));
            let invalidates = scope.spawn(invalidate);
            let heir = old.resize(64 << 20, 16 << 20).expect("other shards");
            invalidates.join().expect("it ends");
            heir
        });
        assert!(urls.iter().all(|url| !has(&heir, url, &none)));
    }
}

#[test]
fn the_hottest_come_first_and_no_more_than_were_asked_for() {
    let (cache, none) = (cache(64 << 20, 1 << 16), Fields::default());
    for (target, uses) in [("/never", 0), ("/a", 3), ("/b", 7), ("/c", 3), ("/d", 3), ("/e", 9)] {
        fill(&cache, target, &[], &none);
        let Found::Object(object) = cache.find(&mut sought(target), &none) else { panic!("it is there") };
        object.used(uses);
    }
    assert_eq!(cache.hottest(1), ["http://a/e"]);
    assert_eq!(cache.hottest(2), ["http://a/e", "http://a/b"]);
    let three = cache.hottest(3);
    assert_eq!((three.len(), &three[..2]), (3, &["http://a/e".to_owned(), "http://a/b".to_owned()][..]), "{three:?}");
    assert_eq!(cache.hottest(99), ["http://a/e", "http://a/b", "http://a/a", "http://a/c", "http://a/d"]);
}
