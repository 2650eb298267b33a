//! What a plan declares that may be sent (texts and schemas of terms) is understood, and nothing beside it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use exhibit::findings::{Findings, Places};

mod support;
use support::{exhibit, run, write};

/// A phone that reports a preference and its IMEI in one form, and fetches a page.
const MODEL: &str = r#"
lab: 1
seed: 7
start: 2026-11-20T10:00:00Z
every: 10m
phone:
  name: simulated-phone
  mac: "64:09:80:00:00:01"
  address: 192.168.43.17
  identifiers: {imei: "867622014512347"}
gateway: {mac: "02:00:5e:10:00:01", address: 192.168.43.1}
hosts:
  - {name: collect.example, address: 203.0.113.9}
layout: {capture: "captures/{phase}-{run}.pcapng", keys: "keys/{phase}-{run}.keys", device: "device/{phase}/{run}", record: record.jsonl, truth: truth.json}
phases:
  - id: stock
    runs: 1
    library: [DCIM/1.jpg]
    actions:
      - {id: join, at: 5s, lasts: 3s, joins: true}
      - {id: idle, at: 20s, lasts: 60s}
    sends:
      - during: idle
        after: 5s
        to: collect.example
        over: OVER
        requests:
          - get: {path: /page}
          - form: {path: /v1, fields: [{name: theme, text: dark}]}
          - form: {path: /v1, fields: [{name: theme, text: dark}, {name: imei, identifier: imei}]}
    tail: 5s
"#;

const SCHEMA: &str = r#"{"type": "object", "properties": {"theme": {"enum": ["light", "dark"]}, "imei": {"type": "string"}},
  "additionalProperties": false}"#;

fn findings(terms: &str, schema: &str) -> Findings {
    findings_over("http1", terms, schema)
}

fn findings_over(over: &str, terms: &str, schema: &str) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("lab.yaml"), MODEL.replace("OVER", over));
    write(&at.join("schemas/preferences.json"), schema);
    write(
        &at.join("scenario.yaml"),
        format!(
            "exhibit: 1\nid: declared\nsimulated: true\nphone: {{addresses: [192.168.43.17], identifiers: {{imei: \"867622014512347\"}}}}\n\
             phases:\n  - {{id: stock}}\nactions:\n  order: fixed\n  list:\n    - {{id: join, do: join-wifi}}\n    - {{id: idle, do: idle, for: 1m}}\n\
             {terms}claims:\n  - {{id: L4, says: uploads, in: stock, uploads: identifier}}\n"
        ),
    );
    run(exhibit(at).args(["lab", "make"]).arg(at));
    serde_json::from_str(&run(exhibit(at).args(["run", "--no-bundle", "--format", "json"]).arg(at))).unwrap()
}

fn window(findings: &Findings) -> Places {
    findings.ledger.by_window.iter().find(|row| row.of == "stock/01/idle").unwrap().bytes
}

const TEXTS: &str = "terms:\n  preferences: {schema: schemas/preferences.json}\n  \
    public: {hosts: [collect.example], texts: [/page, /v1, application/x-www-form-urlencoded, SimulatedPhone/1.0 (exhibit lab), \"*/*\", keep-alive, close]}\n";

#[test]
fn what_is_declared_is_understood() {
    let found = findings(TEXTS, SCHEMA);
    let bytes = window(&found);
    // Nothing is left open: the fifteen digits of the IMEI match, all else is declared or grammar.
    assert_eq!((bytes.matched, bytes.residual()), (15, 0));
    let declared: Vec<_> = found
        .declared
        .iter()
        .map(|one| (one.term.as_str(), one.phase.as_str(), one.messages, one.bytes))
        .collect();
    // `theme=dark` once; the form with an IMEI in it is no preference.
    assert_eq!(declared, [("preferences", "stock", 1, 10)]);
}

/// What a request's list of fields, a handshake of WebSocket and a hello of TLS say beside [`TEXTS`].
const MORE: [&str; 2] = [
    "SimulatedPhone/1.0 (exhibit lab)",
    "SimulatedPhone/1.0 (exhibit lab), websocket, Upgrade, \"13\", /socket",
];

#[test]
fn what_is_declared_is_understood_in_the_lists_of_http_2_and_in_messages() {
    let texts = TEXTS.replace(MORE[0], MORE[1]);
    // A page is asked for by an empty message over a socket, which is one of the schema's, too.
    for (over, messages, counted) in [("http2", 1, 10), ("websocket", 2, 12)] {
        let found = findings_over(over, &texts, SCHEMA);
        let bytes = window(&found);
        assert_eq!((bytes.matched, bytes.residual()), (15, 0), "{over}");
        let declared: Vec<_> =
            found.declared.iter().map(|one| (one.term.as_str(), one.messages, one.bytes)).collect();
        assert_eq!(declared, [("preferences", messages, counted)], "{over}");
    }
}

#[test]
fn what_is_not_declared_stays_undetermined() {
    let bare = window(&findings("", SCHEMA));
    let bytes = |texts: &str| window(&findings(texts, SCHEMA)).residual();
    assert_eq!(bare.matched, 15);
    // Without the path the target stays open, here and only here: `/page` stands once.
    assert_eq!(bytes(&TEXTS.replace("/page, ", "")), 5);
    // The host stands in three heads and, with the length of each label and the root's, in the question for its name.
    assert_eq!(bytes(&TEXTS.replace("collect.example", "other.example")), 3 * 15 + 17);
    // All of it: targets, four values of three heads, two types of content, two forms without the IMEI, the name.
    let values =
        3 * (15 + "SimulatedPhone/1.0 (exhibit lab)".len() + 3) + 2 * "keep-alive".len() + "close".len();
    let forms = "theme=dark".len() + "theme=dark&imei=".len();
    let types = 2 * "application/x-www-form-urlencoded".len();
    assert_eq!(bare.residual(), (5 + 3 + 3 + values + forms + types + 17) as u64);
}

#[test]
fn what_is_not_declared_stays_undetermined_in_the_lists_of_http_2() {
    let texts = TEXTS.replace(MORE[0], MORE[1]);
    let bytes = |texts: &str, schema: &str| window(&findings_over("http2", texts, schema)).residual();
    assert_eq!(bytes(&texts.replace("/page, ", ""), SCHEMA), 5);
    // A value that no list holds, in both forms; the IMEI is found, and the separators around it have their place.
    assert_eq!(bytes(&texts, &SCHEMA.replace("\"dark\"", "\"blue\"")), 26);
    let bare = window(&findings_over("http2", "", SCHEMA));
    let values = 3 * (15 + "SimulatedPhone/1.0 (exhibit lab)".len() + 3);
    let types = 2 * "application/x-www-form-urlencoded".len();
    let forms = "theme=dark".len() + "theme=dark&imei=".len();
    // The name is asked for once, and stands once in the hello, there without lengths.
    assert_eq!((bare.matched, bare.residual()), (15, (5 + 3 + 3 + values + types + forms + 17 + 15) as u64));
}

#[test]
fn a_handshake_and_messages_of_a_socket_hold_what_is_not_declared() {
    let texts = TEXTS.replace(MORE[0], MORE[1]);
    let bytes = |texts: &str, schema: &str| window(&findings_over("websocket", texts, schema)).residual();
    assert_eq!(bytes(&texts.replace(", /socket", ""), SCHEMA), 7);
    // Two forms without the IMEI; `{}` stands for the page.
    assert_eq!(bytes(&texts, &SCHEMA.replace("\"dark\"", "\"blue\"")), 26);
}

#[test]
fn another_order_of_fields_is_another_message() {
    let schema = SCHEMA.replace(
        r#""theme": {"enum": ["light", "dark"]}, "imei": {"type": "string"}"#,
        r#""imei": {"type": "string"}, "theme": {"enum": ["light", "dark"]}"#,
    );
    assert_ne!(schema, SCHEMA);
    let found = findings(TEXTS, &schema);
    // `theme=dark` alone is in order; `theme=dark&imei=` is not.
    assert_eq!(window(&found).residual(), 16);
    assert_eq!(found.declared.len(), 1);
}

#[test]
fn a_value_that_is_not_listed_is_undetermined() {
    let found = findings(TEXTS, &SCHEMA.replace("\"dark\"", "\"blue\""));
    assert_eq!(window(&found).residual(), 26);
    assert_eq!(found.declared, []);
}

#[test]
fn a_schema_that_leaves_room_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(
        &at.join("schemas/preferences.json"),
        SCHEMA.replace(r#""additionalProperties": false"#, r#""title": "x""#),
    );
    write(
        &at.join("scenario.yaml"),
        format!("exhibit: 1\n{TEXTS}claims:\n  - {{says: uploads, uploads: photo}}\n"),
    );
    let output = exhibit(at).arg("check").arg(at).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("additionalProperties: false"), "{text}");
    assert_eq!(output.status.code(), Some(2), "{text}");
}
