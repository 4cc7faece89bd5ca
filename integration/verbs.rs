//! What is told to one backend while the proxy runs: it takes effect, it is shown, a reload keeps it, and the file's next word on
//! that backend ends it.

use serde_json::{Value, json};

use crate::support::{Counting, Message, Proxy, Site, Wire, named, scripted};

fn two() -> ([Counting; 2], Site, Proxy) {
    let (backends, site) = named(["a", "b"]);
    let site = site.algorithm("weighted_round_robin");
    let proxy = site.start();
    (backends, site, proxy)
}

/// The names of those that answer eight requests, sorted.
fn eight(proxy: &Proxy) -> String {
    let mut client = proxy.connect();
    let mut ask = |_| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().text()
    };
    let mut names: Vec<String> = (0..8).map(&mut ask).collect();
    names.sort();
    names.concat()
}

fn drift(proxy: &Proxy) -> Vec<Value> {
    proxy.pool()["backends"].as_array().expect("a list").iter().map(|backend| backend["drift"].clone()).collect()
}

/// A POST to the admin API, with or without the field that shows intent.
fn post(proxy: &Proxy, path: &str, field: &str, body: &str) -> Message {
    let mut wire = Wire::connect(proxy.admin);
    let length = body.len();
    wire.send(format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{field}Content-Length: {length}\r\n\r\n{body}", proxy.admin));
    wire.answer()
}

#[test]
fn a_drained_backend_takes_nothing_new_and_finishes() {
    let ([slow], site) = scripted();
    let a = Counting::start("a");
    let proxy = site.start();
    let mut client = proxy.ask("/");
    let mut upstream = slow.accept();
    upstream.request();
    let backend = slow.address().to_string();
    let (code, said, complaint) = proxy.command(&["drain", "app", &backend]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains("1 in flight finish") && said.contains("answered with 503"), "{said}");
    assert_eq!(proxy.get("/").status(), 503);
    // Another one joins: that is an edit, but not to this backend.
    proxy.edit(&site.clone().backends([slow.address(), a.address()]));
    assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    assert_eq!(eight(&proxy), "aaaaaaaa");
    assert_eq!(drift(&proxy), [json!(["draining"]), json!([])]);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    assert_eq!(client.answer().text(), "last");

    let (code, said, _) = proxy.command(&["resume", "app", &backend]);
    assert_eq!(code, Some(0));
    assert!(said.contains("undone draining"), "{said}");
    assert_eq!(drift(&proxy), [json!([]), json!([])]);
    assert!(proxy.command(&["resume", "app", &backend]).1.contains("was as the file has it"));
}

#[test]
fn an_ejected_backend_takes_nothing_and_comes_back_by_itself() {
    let ([a, _b], _, proxy) = two();
    let backend = a.address().to_string();
    let (code, said, _) = proxy.command(&["eject", "app", &backend, "--for", "1s"]);
    assert!(code == Some(0) && said.contains("for 1s"), "{said}");
    assert_eq!(eight(&proxy), "bbbbbbbb");
    proxy.logged("an ejection by hand is over");
    assert_eq!((eight(&proxy).as_str(), &drift(&proxy)[0]), ("aaaabbbb", &json!([])));
    proxy.command(&["eject", "app", &backend]);
    assert_eq!((eight(&proxy).as_str(), &drift(&proxy)[0]), ("bbbbbbbb", &json!(["ejected"])));
    proxy.command(&["resume", "app", &backend]);
    assert_eq!(eight(&proxy), "aaaabbbb");
}

#[test]
fn a_weight_by_hand_is_in_force_at_once_and_shown() {
    let ([_a, b], _, proxy) = two();
    assert_eq!(eight(&proxy), "aaaabbbb");
    let backend = b.address().to_string();
    let (code, said, _) = proxy.command(&["weight", "app", &backend, "3"]);
    assert!(code == Some(0) && said.contains("1 -> 3"), "{said}");
    assert_eq!(eight(&proxy), "aabbbbbb");
    assert_eq!(drift(&proxy)[1], json!(["weight 1 -> 3"]));
    assert_eq!(proxy.metric("tidegate_backend_weight", &[&format!("\"{backend}\"")]), Some(3.0));
    let (_, said, _) = proxy.command(&["status"]);
    assert!(said.contains("weight 1 -> 3"), "{said}");
    proxy.command(&["weight", "app", &backend, "0"]);
    assert_eq!(eight(&proxy), "aaaaaaaa");
    proxy.command(&["weight", "app", &backend, "1"]);
    assert_eq!((eight(&proxy).as_str(), &drift(&proxy)[1]), ("aaaabbbb", &json!([])), "the file's weight is no drift");
    assert_eq!(proxy.metric("tidegate_config_generation", &[]), Some(1.0));
}

#[test]
fn a_reload_keeps_it_until_it_touches_that_backend() {
    let ([a, b], site, proxy) = two();
    let backend = b.address().to_string();
    proxy.command(&["weight", "app", &backend, "3"]);
    proxy.command(&["drain", "app", &backend]);
    for next in [
        site.clone().pool("timeout = { idle = \"20s\" }"),
        site.clone().weighted([(a.address(), 5), (b.address(), 1)]),
        site.clone().pool("idle_connections = 3"),
    ] {
        proxy.edit(&next);
        assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
        assert_eq!(drift(&proxy)[1], json!(["draining", "weight 1 -> 3"]), "{}", next.text());
    }
    proxy.edit(&site.clone().weighted([(a.address(), 5), (b.address(), 2)]));
    let report = proxy.admin("POST", "/api/reload").text();
    assert!(report.contains(&format!("undone pool app: backend {backend}: draining, weight 1 -> 3")), "{report}");
    assert_eq!(drift(&proxy)[1], json!([]));
    assert_eq!(proxy.pool()["backends"][1]["weight"], 2);
    assert!(eight(&proxy).contains('b'));
    // Gone and back is another backend.
    proxy.command(&["drain", "app", &backend]);
    for next in [site.clone().backends([a.address()]), site] {
        proxy.edit(&next);
        assert_eq!(proxy.admin("POST", "/api/reload").status(), 200);
    }
    assert_eq!(drift(&proxy)[1], json!([]));
}

#[test]
fn status_shows_backups_and_how_far_who_is_back_has_come() {
    let [a, b, c] = ["a", "b", "c"].map(Counting::start);
    let entries = format!("\"{}\", \"{}\", {{ address = \"{}\", backup = true }}", a.address(), b.address(), c.address());
    let proxy = Site::new().entries(&entries).pool("slow_start = \"1h\"").start();
    let shown = |field: &str| (0..3).map(|at| proxy.pool()["backends"][at][field].clone()).collect::<Vec<_>>();
    assert_eq!(shown("backup"), [json!(null), json!(null), json!(true)]);
    assert_eq!(shown("ramp_percent"), [json!(null), json!(null), json!(null)], "a pool that is new as a whole does not ramp");
    for verb in ["drain", "resume"] {
        assert_eq!(proxy.command(&[verb, "app", &a.address().to_string()]).0, Some(0));
    }
    assert_eq!(shown("ramp_percent"), [json!(10), json!(null), json!(null)]);
    let (_, said, _) = proxy.command(&["status"]);
    assert!(said.contains("ramp_percent") && said.contains("backup"), "{said}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let ([a, b], _, proxy) = two();
    let (code, out, said) = proxy.command(&["drain", "ap", &a.address().to_string()]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(said.contains("no pool `ap`; there are: app"), "{said}");
    let (code, _, said) = proxy.command(&["weight", "app", "127.0.0.1:1", "5"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no backend `127.0.0.1:1`") && said.contains(&b.address().to_string()), "{said}");
    assert_eq!(proxy.command(&["weight", "app", "127.0.0.1:1", "many"]).0, Some(2));
}

#[test]
fn orders_over_http_show_intent_and_are_json() {
    let ([a, _b], _, proxy) = two();
    let order = json!({ "pool": "app", "backend": a.address() }).to_string();
    let intent = "X-Tidegate: 1\r\n";
    for (path, field, body, status) in [
        ("/api/drain", "", order.as_str(), 403),
        ("/api/drain", "Content-Type: text/plain\r\n", &order, 403),
        ("/api/weight", intent, &order, 400),
        ("/api/drain", intent, "", 400),
        ("/api/drain", intent, r#"{"pool":"app","backend":"nowhere"}"#, 404),
        ("/api/drain", "Content-Type: application/json\r\n", &order, 200),
        ("/api/resume", intent, &order, 200),
    ] {
        let answer = post(&proxy, path, field, body);
        assert_eq!(answer.status(), status, "{path} {field} {body}: {}", answer.text());
        if status != 403 {
            let report: Value = serde_json::from_str(&answer.text()).expect("JSON");
            assert_eq!(report["ok"], status == 200, "{report}");
        }
    }
    assert_eq!(proxy.admin("GET", "/api/drain").status(), 405);
    assert_eq!(eight(&proxy), "aaaabbbb");
}
