use clap::Parser;

use super::*;
use crate::cli::args::{Cli, Command};
use crate::cli::samples;

fn asked(line: &str) -> Explain {
    let cli = Cli::try_parse_from(["tidegate", "explain", "a.toml"].into_iter().chain(line.split(' '))).unwrap();
    let Command::Explain(asked) = cli.command else { panic!("not explain") };
    asked
}

fn text(line: &str) -> String {
    let config = samples::config();
    let asked = asked(line);
    let mut nowhere = std::io::sink();
    Explanation::of(&config, &asked).unwrap().text(&Stream::plain(&mut nowhere))
}

#[test]
fn the_most_specific_route_takes_it_and_says_why() {
    for (line, route) in [
        ("GET http://a:8080/", "all: path is /*"),
        ("GET http://a:8080/apix", "all: path is /*"),
        ("GET http://a:8080/api/x", "api: path is /api/*"),
        ("GET http://a:8080/%61pi/x", "api: path is /api/*"),
        ("GET http://a:8080/api/x -H X-Team:a", "team: path is /api/*, method is GET or HEAD, header x-team is `a`"),
        ("POST http://a:8080/api/x -H X-Team:a", "api: path is /api/*"),
        ("GET http://a:8080/api/exact?v=2 -H Cookie:beta=1", "exact: path is /api/exact, query v is `2`, cookie beta is `1`"),
        ("GET http://a:8080/api/exact?v=3 -H Cookie:beta=1", "api: path is /api/*"),
        ("GET http://www.example.com:8080/api/x", "moved: host is *.example.com, path is /*"),
        ("GET http://example.com:8080/api/x", "moved: host is example.com, path is /*"),
        ("GET http://a:8081/health", "health: listener is inside, path is /health"),
        ("GET http://a:8080/health", "all: path is /*"),
        ("GET /health --listener inside", "health: listener is inside, path is /health"),
        ("DELETE http://a:8080/", "deletes: path is /*, method is DELETE"),
    ] {
        let text = text(line);
        let expected = format!("\nroute     {route}\n");
        assert!(text.contains(&expected), "{line}\n{text}");
    }
}

#[test]
fn the_others_say_why_not() {
    for (line, other) in [
        ("GET http://a:8080/api/x", "all: matches too, but /* is less specific than /api/*"),
        ("GET http://a:8080/api/x -H X-Team:a", "api: matches too, but it has fewer predicates (0, not 2)"),
        ("GET http://example.com:8080/", "all: matches too, but any host is less specific than example.com"),
        ("GET http://a:8080/", "moved: does not match: not host is example.com or *.example.com"),
        ("GET http://a:8080/health", "health: does not match: not listener is inside"),
        ("POST http://a:8080/", "team: does not match: not path is /api/*, not method is GET or HEAD, not header x-team is `a`"),
    ] {
        let text = text(line);
        assert!(text.contains(other), "{line}\n{text}");
    }
}

#[test]
fn the_whole_of_it_for_a_person() {
    let expected = "\
GET http://a:8080/api/x

listener  web on 0.0.0.0:8080: its port is the URL's
from      10.1.2.3 is in trusted_proxies: its X-Forwarded-* are believed
asks for  path /api/x of a
route     team: path is /api/*, method is GET or HEAD, header x-team is `a`
rewrite   /api is taken off the path
pool      api: p2c over 2 backends
          10.0.1.1:80, weight 1
          10.0.1.2:80, weight 3
others    api: matches too, but it has fewer predicates (0, not 2)
          all: matches too, but /* is less specific than /api/*
";
    let text = text("GET http://a:8080/api/x -H X-Team:a --from 10.1.2.3");
    assert!(text.starts_with(expected), "{text}");
    let text = self::text("GET http://example.com/ --from 192.0.2.1");
    assert!(text.contains("192.0.2.1 is not in trusted_proxies"), "{text}");
    assert!(text.contains("\nanswer    308, redirects to https://example.org/\n"), "{text}");
}

#[test]
fn a_program_reads_the_same() {
    let config = samples::config();
    let asked = asked("GET http://a:8080/api/x -H X-Team:a");
    let json = serde_json::to_value(Explanation::of(&config, &asked).unwrap()).unwrap();
    assert_eq!(json["listener"]["name"], "web");
    assert_eq!(json["route"]["name"], "team");
    assert_eq!(json["route"]["pool"]["algorithm"], "p2c");
    assert_eq!(json["route"]["pool"]["candidates"][1]["weight"], 3);
    assert_eq!(json["others"].as_array().unwrap().len(), config.routes.len() - 1);
    assert!(json["listener"].get("from").is_none());
}

#[test]
fn no_route_is_a_404_and_no_listener_a_mistake() {
    let mut config = samples::config();
    config.routes.retain(|route| route.name == "exact");
    let asked_for = asked("GET http://a:8080/");
    let explanation = Explanation::of(&config, &asked_for).unwrap();
    let mut nowhere = std::io::sink();
    assert!(explanation.route.is_none());
    assert!(explanation.text(&Stream::plain(&mut nowhere)).contains("none matches: the answer is 404"));

    let wrong = asked("GET / --listener wbe");
    let error = Explanation::of(&config, &wrong).unwrap_err();
    assert_eq!(error.to_string(), "no listener `wbe`; there are: web, inside");
}

#[test]
fn ten_thousand_routes_do_not_fill_the_screen() {
    let mut config = samples::config();
    let one = config.routes[3].clone();
    config.routes.extend((0..10_000).map(|n| Route { name: format!("r{n}"), ..one.clone() }));
    let asked = asked("GET http://a:8080/");
    let mut nowhere = std::io::sink();
    let text = Explanation::of(&config, &asked).unwrap().text(&Stream::plain(&mut nowhere));
    assert!(text.lines().count() < 30 && text.contains("and 9996 more"), "{text}");
}

#[test]
fn a_route_counts_by_the_closest_of_its_patterns() {
    let config = config::parse(
        r#"
        [listen.web]
        address = "127.0.0.1:8080"
        [pool.app]
        backends = ["10.0.0.1:80"]
        [[route]]
        name = "wide"
        path = ["/*", "/api/v1/*"]
        host = ["*.example.com", "*.a.example.com"]
        pool = "app"
        [[route]]
        name = "narrow"
        path = "/api/*"
        host = "*.a.example.com"
        pool = "app"
        [[route]]
        name = "posts"
        method = "POST"
        pool = "app"
        [[route]]
        name = "team"
        header = { x-team = "a" }
        priority = 5
        pool = "app"
        "#,
        "sample",
    );
    let config = config.unwrap_or_else(|report| panic!("{report}")).0;
    let mut nowhere = std::io::sink();
    let out = Stream::plain(&mut nowhere);
    for (line, other) in [
        ("GET http://x.a.example.com/api/v1/x", "narrow: matches too, but /api/* is less specific than /api/v1/*"),
        ("GET http://x.a.example.com/api/x", "wide: matches too, but /* is less specific than /api/*"),
        ("POST http://a.example.com/ -H X-Team:a", "team: matches too, but any host is less specific than *.example.com"),
        ("POST / -H X-Team:a", "posts: matches too, but priority 0 is lower than 5"),
    ] {
        let text = Explanation::of(&config, &asked(line)).unwrap().text(&out);
        assert!(text.contains(other), "{line}\n{text}");
    }
}

#[test]
fn who_has_to_introduce_himself_is_told_so() {
    let mut config = samples::config();
    config.listeners.iter_mut().for_each(|listener| listener.proxy_protocol = vec!["192.0.2.0/24".parse().unwrap()]);
    for (from, introduces) in [("192.0.2.1", true), ("10.1.2.3", false)] {
        let asked = asked(&format!("GET http://a:8080/ --from {from}"));
        let mut nowhere = std::io::sink();
        let text = Explanation::of(&config, &asked).unwrap().text(&Stream::plain(&mut nowhere));
        assert_eq!(text.contains("\n          is in proxy_protocol: it must begin with a PROXY header"), introduces, "{text}");
    }
}
