//! Lists and their pages.

use serde_json::{Value, json};

use super::faulty_paths;
use crate::support::server::{DATABASES, Server};

/// A server with services of these names.
fn with_services(names: &[&str]) -> Server {
    let server = Server::start();
    for name in names {
        server.put(DATABASES, &server.admin(), &json!({"name": name, "serviceType": "Mysql"})).expect(201);
    }
    server
}

fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("{DATABASES}{query}"), &server.admin()).expect(200)
}

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect()
}

#[test]
fn a_list_has_ten_services_by_name_unless_told_otherwise() {
    let server = with_services(&["m", "b", "a", "C", "d", "e", "f", "g", "h", "i", "j", "k"]);

    let page = list(&server, "");

    assert_eq!(names(&page), ["C", "a", "b", "d", "e", "f", "g", "h", "i", "j"]);
    assert_eq!(page["paging"]["total"], 12);
    assert_eq!(page["paging"].get("before"), None);
    assert_eq!(names(&list(&server, "?limit=1000000")).len(), 12);
    assert_eq!(names(&list(&server, "?limit=1&fields=*&unknown=passed-over")), ["C"]);
}

#[test]
fn an_empty_list_and_a_limit_of_zero_have_a_total_and_no_cursors() {
    let server = with_services(&[]);
    assert_eq!(list(&server, ""), json!({"data": [], "paging": {"total": 0}}));
    let server = with_services(&["a", "b"]);
    assert_eq!(list(&server, "?limit=0"), json!({"data": [], "paging": {"total": 2}}));
}

#[test]
fn pages_lead_forwards_and_back_and_miss_nothing() {
    let all = ["a", "a b", "a.b", "a/b", "b\"c", "caf\u{e9}", "cafe\u{301}", "z?&=#%", "\u{65e5}\u{672c}", "\u{1f600}"];
    let server = with_services(&all);
    let whole = list(&server, "?limit=100");
    for limit in 1..=all.len() {
        let mut forwards = Vec::new();
        let mut page = list(&server, &format!("?limit={limit}"));
        assert_eq!(page["paging"].get("before"), None, "the first page");
        loop {
            assert_eq!(page["paging"]["total"], all.len());
            forwards.push(page.clone());
            let Some(after) = page["paging"]["after"].as_str() else { break };
            page = list(&server, &format!("?limit={limit}&after={after}"));
        }
        let found: Vec<_> = forwards.iter().flat_map(|page| names(page)).collect();
        assert_eq!(found, names(&whole), "limit {limit}");

        for expected in forwards.iter().rev().skip(1) {
            let before = page["paging"]["before"].as_str().unwrap();
            page = list(&server, &format!("?limit={limit}&before={before}"));
            assert_eq!(names(&page), names(expected), "limit {limit}");
        }
        assert_eq!(page["paging"].get("before"), None, "back at the first page");
    }
}

#[test]
fn cursors_need_no_escaping_in_a_url() {
    let server = with_services(&["a?>?>", "b\u{fffd}\u{ffff}>>>", "c~~~???"]);
    let page = list(&server, "?limit=1");
    let next = list(&server, &format!("?limit=1&after={}", page["paging"]["after"].as_str().unwrap()));
    for cursor in [&page["paging"]["after"], &next["paging"]["after"], &next["paging"]["before"]] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        assert!(cursor.as_str().unwrap().bytes().all(plain), "{cursor}");
    }
}

#[test]
fn a_cursor_stays_good_when_its_service_goes() {
    let server = with_services(&["a", "b", "c", "d"]);
    let page = list(&server, "?limit=2");
    let after = page["paging"]["after"].as_str().unwrap();
    for name in ["b", "c"] {
        server.delete(&format!("{DATABASES}/name/{name}?hardDelete=true"), &server.admin()).expect(200);
    }

    assert_eq!(names(&list(&server, &format!("?limit=2&after={after}"))), ["d"]);
}

#[test]
fn deleted_services_are_listed_only_for_those_who_ask() {
    let server = with_services(&["a", "b", "c"]);
    server.delete(&format!("{DATABASES}/name/b"), &server.admin()).expect(200);
    let asked = |include: &str| {
        let page = list(&server, &format!("?include={include}"));
        (names(&page).join(""), page["paging"]["total"].as_u64().unwrap())
    };

    assert_eq!(asked("non-deleted"), ("ac".to_owned(), 2));
    assert_eq!(asked(""), ("ac".to_owned(), 2));
    assert_eq!(asked("deleted"), ("b".to_owned(), 1));
    assert_eq!(asked("all"), ("abc".to_owned(), 3));
}

#[test]
fn families_do_not_see_each_other() {
    let server = with_services(&["a"]);
    let admin = server.admin();
    let id = list(&server, "")["data"][0]["id"].clone();
    let dashboards = "/services/dashboardServices";
    server.post(dashboards, &admin, &json!({"name": "a", "serviceType": "Superset"})).expect(201);

    assert_eq!(list(&server, "")["paging"]["total"], 1);
    server.get(&format!("{dashboards}/{}", id.as_str().unwrap()), &admin).expect(404);
    server.delete(&format!("{dashboards}/{}", id.as_str().unwrap()), &admin).expect(404);
    server.get(&format!("{dashboards}/{}/versions", id.as_str().unwrap()), &admin).expect(404);
}

#[test]
fn what_a_list_does_not_understand_is_said_by_name() {
    let server = with_services(&["a", "b"]);
    let cursor = list(&server, "?limit=1")["paging"]["after"].as_str().unwrap().to_owned();
    let cases = [
        ("limit=-1", "limit"),
        ("limit=1000001", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("include=some", "include"),
        ("fields=owners,nonsense", "fields"),
        ("view=clear", "view"),
        ("after=%2F%2F", "after"),
        ("after=a", "after"),
        ("before=_w", "before"),
    ];
    for (query, path) in cases {
        let answer = server.get(&format!("{DATABASES}?{query}"), &server.admin());
        assert_eq!(faulty_paths(&answer), [path], "{query}");
    }
    let both = server.get(&format!("{DATABASES}?before={cursor}&after={cursor}"), &server.admin());
    faulty_paths(&both);
    for query in ["include=some", "fields=nonsense", "view=clear"] {
        let answer = server.get(&format!("{DATABASES}/name/a?{query}"), &server.admin());
        assert_eq!(faulty_paths(&answer).len(), 1, "{query}");
    }
    faulty_paths(&server.delete(&format!("{DATABASES}/name/a?hardDelete=perhaps"), &server.admin()));
}
