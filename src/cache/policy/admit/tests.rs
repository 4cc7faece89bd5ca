//! Tables from RFC 9111, section by section.

use super::*;
use crate::cache::policy::Demands;
use crate::cache::policy::reuse::Use;
use crate::message::{Fields, Version};

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: u64 = 784_111_777;

fn wall(offset: i64) -> SystemTime {
    std::time::UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(offset).expect("a date"))
}

fn date(offset: i64) -> String {
    httpdate::fmt_http_date(wall(offset))
}

fn answer(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::response(status, b"", Version::Http11);
    head.fields.extend(&Fields::of(fields));
    head
}

fn received() -> Received {
    Received { at: Instant::now(), wall: wall(0), delay: Duration::ZERO }
}

const GET: Asked = Asked { method: Method::Get, authorized: false, no_store: false };

fn kept(asked: Asked, status: u16, fields: &[(&str, &str)], rules: &Rules) -> Result<Admitted, Refusal> {
    admit(asked, &answer(status, fields), received(), rules, 0.0)
}

/// For how many seconds it is fresh; `None`: it is not kept.
fn fresh_for(status: u16, fields: &[(&str, &str)]) -> Option<u64> {
    let kept = kept(GET, status, fields, &Rules::default()).ok()?;
    Some(kept.terms.fresh_for(kept.terms.received).as_secs())
}

#[test]
fn section_3_what_may_be_kept() {
    let (cc, auth) = ("Cache-Control", Asked { authorized: true, ..GET });
    for (asked, status, control, expected) in [
        (GET, 200, "max-age=9", Ok(())),
        (Asked { method: Method::Head, ..GET }, 200, "max-age=9", Err(Refusal::Method)),
        (Asked { method: Method::Post, ..GET }, 200, "max-age=9", Err(Refusal::Method)),
        (Asked { no_store: true, ..GET }, 200, "max-age=9", Err(Refusal::NoStore)),
        (GET, 206, "max-age=9", Err(Refusal::Status)),
        (GET, 304, "max-age=9", Err(Refusal::Status)),
        (GET, 599, "max-age=9", Ok(())),
        (GET, 599, "max-age=9, must-understand", Err(Refusal::Status)),
        (GET, 200, "max-age=9, must-understand, no-store", Ok(())),
        (GET, 200, "max-age=9, no-store", Err(Refusal::NoStore)),
        (GET, 200, "max-age=9, private", Err(Refusal::Private)),
        (GET, 200, "max-age=9, private=\"a\"", Ok(())),
        (GET, 200, "private, s-maxage=9", Err(Refusal::Private)),
        (auth, 200, "max-age=9", Err(Refusal::Authorization)),
        (auth, 200, "max-age=9, public", Ok(())),
        (auth, 200, "max-age=9, must-revalidate", Ok(())),
        (auth, 200, "s-maxage=9", Ok(())),
        (GET, 200, "no-cache", Err(Refusal::Useless)),
        (GET, 200, "max-age=0", Err(Refusal::Useless)),
        (GET, 200, "max-age=0, stale-if-error=9", Ok(())),
        (GET, 200, "max-age=0, stale-if-error=9, must-revalidate", Err(Refusal::Useless)),
    ] {
        let kept = kept(asked, status, &[(cc, control)], &Rules::default());
        assert_eq!(kept.map(drop), expected, "{asked:?} {status} {control}");
    }
}

#[test]
fn section_3_1_fields_that_are_not_kept() {
    let listed = kept(GET, 200, &[("Cache-Control", "max-age=9, no-cache=\"a, b\"")], &Rules::default()).expect("kept");
    assert_eq!(listed.withheld, [&b"a"[..], b"b"]);
    let cookie = [("Cache-Control", "max-age=9"), ("Set-Cookie", "a=b")];
    assert_eq!(kept(GET, 200, &cookie, &Rules::default()), Err(Refusal::SetCookie));
    let stripped = kept(GET, 200, &cookie, &Rules { strip_cookies: true, ..Rules::default() }).expect("kept");
    assert_eq!(stripped.withheld, [b"set-cookie"]);
    let listed = kept(GET, 200, &[cookie[1], ("Cache-Control", "max-age=9, private=Set-Cookie")], &Rules::default());
    assert!(listed.is_ok_and(|kept| kept.withheld.contains(&b"set-cookie".to_vec())));
}

#[test]
fn section_4_2_1_lifetimes() {
    let (now, later, before) = (date(0), date(50), date(-50));
    for (fields, expected) in [
        (&[("Cache-Control", "max-age=60")][..], Some(60)),
        (&[("Cache-Control", "max-age=60, s-maxage=5")], Some(5)),
        (&[("Cache-Control", "s-maxage=60"), ("Cache-Control", "max-age=5")], Some(60)),
        (&[("Cache-Control", "max-age=0, s-maxage=60"), ("Expires", &before)], Some(60)),
        (&[("Expires", &later), ("Date", &now)], Some(50)),
        (&[("Expires", &later)], Some(50)),
        (&[("Expires", &later), ("Date", &before)], Some(50)),
        (&[("Expires", &later), ("Cache-Control", "max-age=5")], Some(5)),
        (&[("Expires", &later), ("Expires", &now), ("ETag", "\"a\"")], Some(0)),
        (&[("Expires", "0"), ("ETag", "\"a\"")], Some(0)),
        (&[("Expires", "0")], None),
        (&[("Expires", &before), ("Date", &now)], None),
        (&[("CDN-Cache-Control", "max-age=7"), ("Cache-Control", "max-age=60"), ("Expires", &later)], Some(7)),
        (&[("CDN-Cache-Control", "public"), ("Cache-Control", "max-age=60"), ("Expires", &later)], None),
        (&[("CDN-Cache-Control", "MALFORMED="), ("Cache-Control", "max-age=60")], Some(60)),
    ] {
        assert_eq!(fresh_for(200, fields), expected, "{fields:?}");
    }
}

#[test]
fn section_4_2_2_heuristics_by_status() {
    let (now, day_ago, year_ago) = (date(0), date(-86_400), date(-365 * 86_400));
    let unchanged = [("Last-Modified", day_ago.as_str()), ("Date", now.as_str())];
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(fresh_for(status, &unchanged), Some(8_640), "{status}");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(fresh_for(status, &unchanged), None, "{status}");
        assert_eq!(fresh_for(status, &[unchanged[0], unchanged[1], ("Cache-Control", "public")]), Some(8_640), "public {status}");
        assert_eq!(fresh_for(status, &[("Cache-Control", "max-age=3")]), Some(3), "explicit {status}");
    }
    assert_eq!(fresh_for(200, &[("Last-Modified", &year_ago), ("Date", &now)]), Some(86_400));
    assert_eq!(fresh_for(200, &[("Last-Modified", &date(100)), ("Date", &now)]), Some(0));
    assert_eq!(fresh_for(200, &[]), None);
}

#[test]
fn section_4_2_3_ages() {
    let (old, now) = (date(-7_200), date(0));
    for (fields, expected) in [
        (&[("Age", "30")][..], 30),
        (&[("Age", "30"), ("Date", &now)], 30),
        (&[("Date", &old)], 7_200),
        (&[("Date", &old), ("Age", "30")], 7_200),
        (&[("Date", &date(60))], 0),
        (&[("Age", "99999999999")], times::SECONDS_MAX),
        (&[("Age", "abc")], 0),
        (&[("Age", "-1")], 0),
        (&[("Age", "7.0")], 0),
        (&[("Age", "7;a=b")], 0),
        (&[("Age", "abc"), ("Date", &old)], 7_200),
        (&[("Age", "7, 0")], 7),
        (&[("Age", "0, 7")], 0),
        (&[("Age", "7"), ("Age", "0")], 7),
    ] {
        let head = answer(200, fields);
        let date = head.fields.get(Name::Date).and_then(times::date);
        assert_eq!(initial_age(&head, date, received()).as_secs(), expected, "{fields:?}");
    }
    let late = Received { delay: Duration::from_secs(4), ..received() };
    assert_eq!(initial_age(&answer(200, &[("Age", "30")]), None, late).as_secs(), 34);
}

#[test]
fn section_4_2_4_what_forbids_staleness() {
    let window = ", stale-while-revalidate=60, stale-if-error=60";
    for (control, allowed) in [
        ("max-age=1", true),
        ("max-age=1, must-revalidate", false),
        ("max-age=1, proxy-revalidate", false),
        ("s-maxage=1", false),
        ("max-age=1, no-cache", false),
    ] {
        let fields = [("Cache-Control", &*format!("{control}{window}")), ("ETag", "\"a\"")];
        let terms = kept(GET, 200, &fields, &Rules::default()).expect("kept").terms;
        let later = terms.received + Duration::from_secs(5);
        assert_eq!(terms.judge(&Demands::default(), false, later) == Use::WhileRevalidated, allowed, "{control}");
        assert_eq!(terms.serves_on_error(&Demands::default(), later), allowed, "{control}");
    }
}

#[test]
fn a_route_speaks_where_answers_are_silent_and_louder_where_it_must() {
    let seconds = Duration::from_secs;
    let rules = Rules {
        default_ttl: Some(seconds(10)),
        default_by_status: TtlByStatus(vec![((404, 404), seconds(3)), ((500, 599), seconds(1))]),
        stale_if_error: seconds(60),
        ..Rules::default()
    };
    let loud = Rules { override_ttl: Some(seconds(77)), ..rules.clone() };
    let lifetime =
        |status, fields: &[(&str, &str)], rules: &Rules| kept(GET, status, fields, rules).map(|kept| kept.terms.lifetime.as_secs());
    let set = |control| [("Cache-Control", control)];
    for (status, fields, rules, expected) in [
        (200, &[][..], &rules, Ok(10)),
        (404, &[], &rules, Ok(3)),
        (503, &[], &rules, Ok(1)),
        (302, &[], &rules, Err(Refusal::Useless)),
        (200, &set("max-age=5"), &rules, Ok(5)),
        (200, &set("no-store"), &rules, Err(Refusal::NoStore)),
        (200, &set("max-age=5"), &loud, Ok(77)),
        (200, &[], &loud, Ok(77)),
        (302, &[], &loud, Err(Refusal::Useless)),
        (302, &set("max-age=5"), &loud, Ok(77)),
        (200, &set("private"), &loud, Err(Refusal::Private)),
        (200, &[("Set-Cookie", "a=b")], &loud, Err(Refusal::SetCookie)),
    ] {
        assert_eq!(lifetime(status, fields, rules), expected, "{status} {fields:?}");
    }
    let windows = |control| kept(GET, 200, &set(control), &rules).expect("kept").terms.stale_if_error.as_secs();
    assert_eq!([windows("max-age=5"), windows("max-age=5, stale-if-error=7"), windows("max-age=5, must-revalidate")], [60, 7, 0]);
}

/// Whatever a hostile origin says, arithmetic holds, and nothing is kept that could not be used.
#[test]
fn numbers_and_dates_out_of_all_range() {
    let huge = "9".repeat(400);
    let (first, last) = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT");
    for (fields, expected) in [
        (&[("Cache-Control", &*format!("max-age={huge}"))][..], Some(times::SECONDS_MAX)),
        (&[("Cache-Control", &*format!("max-age=60, stale-while-revalidate={huge}, stale-if-error={huge}"))], Some(60)),
        (&[("Cache-Control", "max-age=60"), ("Age", &huge)], None),
        (&[("Cache-Control", "max-age=60"), ("Age", &huge), ("ETag", "\"a\"")], Some(0)),
        (&[("Cache-Control", "max-age=60"), ("Date", first), ("ETag", "\"a\"")], Some(0)),
        (&[("Cache-Control", "max-age=60"), ("Date", last)], Some(60)),
        (&[("Expires", last), ("Date", first), ("ETag", "\"a\"")], Some(253_402_300_799 - NOW)),
        (&[("Expires", first), ("Date", last), ("ETag", "\"a\"")], Some(0)),
        (&[("Last-Modified", first), ("Date", last)], Some(86_400)),
    ] {
        assert_eq!(fresh_for(200, fields), expected, "{fields:?}");
    }
}

#[test]
fn jitter_only_shortens() {
    let rules = Rules { jitter_percent: 20, ..Rules::default() };
    let head = answer(200, &[("Cache-Control", "max-age=100")]);
    let lifetime = |chance| admit(GET, &head, received(), &rules, chance).expect("kept").terms.lifetime.as_secs();
    assert_eq!([lifetime(0.0), lifetime(0.5), lifetime(1.0)], [100, 90, 80]);
}
