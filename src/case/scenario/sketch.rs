//! A first scenario, written from what is there: commented, and fit to pass `check` as it stands.

use super::problem::word;

/// How much is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What was captured tonight: one phase, no timing.
    Tonight,
    /// Phases, repeated runs, controls.
    Full,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// The case's name; made fit for an id.
    pub name: String,
    /// Captures, relative to the scenario.
    pub captures: Vec<String>,
    /// The folder of the phone's files, relative to the scenario.
    pub files: Option<String>,
    /// The claim's words.
    pub claim: Option<String>,
    /// How much is planned.
    pub extent: Extent,
}

/// Words of a claim, and the term they stand for. The first that fits is taken.
const TERMS: [(&str, &[&str]); 5] = [
    ("photo", &["photo", "picture", "image", "foto", "camera", "selfie", "照片", "相片"]),
    ("message", &["message", "sms", "chat", "nachricht", "短信", "聊天"]),
    (
        "identifier",
        &["imei", "imsi", "identifier", "phone number", "serial number", "contact", "mac address", "联系人"],
    ),
    (
        "personal",
        &["personal", "private", "user information", "information from the user", "user data", "隐私"],
    ),
    ("file", &["file", "document"]),
];
/// Words that deny.
const NEVER: [&str; 6] = ["not ", "never", "n't ", "no longer", "without upload", "没有"];
/// Words of a connection.
const CONNECTS: [&str; 5] = ["connect", "contacts a server", "server", "calls home", "phones home"];
/// Countries that claims name, and their codes.
const COUNTRIES: [(&str, &str); 6] = [
    ("china", "CN"),
    ("chinese", "CN"),
    ("russia", "RU"),
    ("singapore", "SG"),
    ("united states", "US"),
    ("korea", "KR"),
];

/// The test that a claim's words suggest.
struct Guess {
    test: String,
    country: Option<&'static str>,
}

fn guess(claim: &str) -> Option<Guess> {
    let words = claim.to_lowercase();
    let has = |list: &[&str]| list.iter().any(|part| words.contains(part));
    if let Some((term, _)) = TERMS.iter().find(|(_, list)| has(list)) {
        let key = if has(&NEVER) { "never_uploads" } else { "uploads" };
        return Some(Guess { test: format!("{key}: {term}"), country: None });
    }
    if !has(&CONNECTS) {
        return None;
    }
    let country = COUNTRIES.iter().find(|(name, _)| words.contains(name)).map(|(_, code)| *code);
    let to = if country.is_some() { "server_there" } else { "anywhere" };
    Some(Guess { test: format!("connects: {to}"), country })
}

/// Writes the scenario.
pub fn sketch(sketch: &Sketch) -> String {
    let says = sketch.claim.as_deref().unwrap_or("the phone will upload photos");
    let guess = guess(says);
    let mut text = String::from(
        "# What is claimed of a phone, and what was recorded. `exhibit check` says what is missing.\nexhibit: 1\n",
    );
    text.push_str(&format!("id: {}\ntitle: {}\n\n", id(&sketch.name), quoted(says)));
    text.push_str(PHONE);
    if let Some(code) = guess.as_ref().and_then(|guess| guess.country) {
        text.push_str(&format!("\nterms:\n  # \"Registered there\" is what address tables say; it is not where a machine stands.\n  server_there: {{registered_country: {code}}}\n"));
    }
    match sketch.extent {
        Extent::Tonight => tonight(sketch, &mut text),
        Extent::Full => full(sketch, &mut text),
    }
    claim(says, guess.as_ref(), sketch.extent, &mut text);
    text
}

const PHONE: &str = "\
# The phone. Left out, it is guessed from DHCP or the busiest private address.
# phone:
#   model: Redmi Note
#   addresses: [192.168.43.17]
#   identifiers: {imei: \"…\", own_number: \"+852…\"}    # numbers in quotes; they are looked for in what was sent
";

fn tonight(sketch: &Sketch, text: &mut String) {
    text.push_str("\n# What was captured.\n");
    match sketch.captures.as_slice() {
        [] => text.push_str("# capture: hotspot.pcapng\n"),
        [one] => text.push_str(&format!("capture: {}\n", quoted(one))),
        many => {
            let names: Vec<String> = many.iter().map(|name| quoted(name)).collect();
            text.push_str(&format!("captures: [{}]    # one file a run\n", names.join(", ")));
        }
    }
    text.push_str("# keys: sslkeys.log    # an NSS key log, if there is one\n\n# A copy of the phone's files: each is looked for in what was sent.\n");
    match &sketch.files {
        // Files without a capture would be half a story.
        Some(files) if !sketch.captures.is_empty() => text.push_str(&format!("files: {}\n", quoted(files))),
        Some(files) => text.push_str(&format!("# files: {}\n", quoted(files))),
        None => text.push_str("# files: DCIM/\n"),
    }
}

fn full(sketch: &Sketch, text: &mut String) {
    let recorded = match sketch.captures.as_slice() {
        [] => String::new(),
        captures => {
            let names: Vec<String> = captures.iter().map(|name| quoted(name)).collect();
            let files =
                sketch.files.as_ref().map_or_else(String::new, |files| format!(", files: {}", quoted(files)));
            format!(", captures: [{}]{files}", names.join(", "))
        }
    };
    text.push_str(&format!(
        "
# `live`: the servers of today are those of the claim. `relab`: they are not.
epoch: {{kind: live}}

# Fixed before the first run: the digest of these sections is what a time stamp is put on, and what the lots are drawn from.
freeze: [terms, canaries, phases, actions, controls, claims]

captured_at: {{point: access-point, sees: [wifi], blind_to: [cellular, bluetooth, usb]}}
clocks: {{gateway: {{max_skew_ms: 50}}, phone: {{probe: 60s, max_skew_ms: 1000}}}}

canaries:
  cam-01: {{kind: photo}}    # a fresh photo in each run

# States of the phone. 59 windows are needed before absence means anything.
phases:
  - {{id: stock, from: factory-reset, require: [cloud_off, no_account], repeat: 60, window: 5m{recorded}}}
  - {{id: cloud-on, from: stock, role: positive_control, starts_with: consent, repeat: 60, window: 5m}}

# What is done in each run. What happened, and when, goes to record.jsonl.
actions:
  order: randomized
  washout: 2m
  list:
    - {{id: consent, do: consent-cloud, in: cloud-on}}
    - {{id: boot, do: boot}}
    - {{id: join, do: join-wifi}}
    - {{id: shoot, do: take-photo, makes: cam-01, sham: open-camera}}
    - {{id: rest, do: idle, screen: off, for: 5m}}

# What shows that an upload would have been found: known ones beside the phone, names that were never planted, and a run
# without instruments.
controls:
  spikes: {{artifacts: [cam-01], over: [http1, tls13], each: 60}}
  decoys: 10000
  twin: {{phase: stock, without: [adb, foreign_ca], compare: [hosts, sizes, times]}}
"
    ));
}

fn claim(says: &str, guess: Option<&Guess>, extent: Extent, text: &mut String) {
    let place = match extent {
        Extent::Tonight => "",
        Extent::Full => "    in: stock\n",
    };
    text.push_str(&format!(
        "
# One test a claim: connects, uploads, never_uploads, only_uploads, encrypted, needs_consent, all_of, any_of.
claims:
  - id: C1
    # by: who says it
    says: {}
",
        quoted(says)
    ));
    match guess {
        Some(guess) => {
            text.push_str(place);
            text.push_str(&format!(
                "    {}    # guessed from the words: correct it if they mean something else\n",
                guess.test
            ));
        }
        None => text.push_str(
            "    # Replace the next line by a test of these words, for example:
    #   uploads: photo             (or file, message, identifier, personal)
    #   never_uploads: personal
    #   connects: anywhere
    untestable: not yet put into a test
",
        ),
    }
    text.push_str("    # not_covered: [{part: words that traffic can't show, test_by: what could}]\n");
}

/// A name made fit for an id.
fn id(name: &str) -> String {
    let mut id = String::new();
    for c in name.to_lowercase().chars().take(64) {
        let fits = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        id.push(if fits { c } else { '-' });
    }
    let id = id.trim_start_matches(['.', '_', '-']).trim_end_matches(['.', '-']);
    // Plain YAML would take digits for a number.
    if id.is_empty() { "case".to_owned() } else { quoted(id) }
}

/// A text as a double-quoted YAML scalar (YAML 1.2 section 7.3.1).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let plain = word(&c.to_string()) == format!("`{c}`");
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if plain && !('\u{7f}'..='\u{9f}').contains(&c) => out.push(c),
            c if u32::from(c) > 0xffff => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_claims_suggest_their_test() {
        let test = |claim| guess(claim).map(|guess| guess.test);
        assert_eq!(test("the phone will upload photos").as_deref(), Some("uploads: photo"));
        assert_eq!(test("Das Handy lädt Fotos hoch").as_deref(), Some("uploads: photo"));
        assert_eq!(test("chat messages").as_deref(), Some("uploads: message"));
        assert_eq!(test("sends my IMEI").as_deref(), Some("uploads: identifier"));
        assert_eq!(test("does not upload personal information").as_deref(), Some("never_uploads: personal"));
        assert_eq!(test("it will connect to a server").as_deref(), Some("connects: anywhere"));
        assert_eq!(test("it is evil"), None);
        let china = guess("it will connect to an address based in mainland China").unwrap();
        assert_eq!((china.test.as_str(), china.country), ("connects: server_there", Some("CN")));
    }

    #[test]
    fn every_sketch_reads_as_it_stands() {
        let claims = [
            None,
            Some("the phone will upload photos"),
            Some("connects to China"),
            Some("it is evil: \"#'{}\\\u{1b}\u{202e}\u{10ffff}"),
        ];
        let captures =
            [vec![], vec!["../a \"b\".pcap".to_owned()], vec!["a.pcap".to_owned(), "b.pcap".to_owned()]];
        for claim in claims {
            for captures in &captures {
                for (files, name) in [(None, "123"), (Some("../DCIM".to_owned()), "Ünïcode / Case")] {
                    for extent in [Extent::Tonight, Extent::Full] {
                        let claim = claim.map(str::to_owned);
                        let text = sketch(&Sketch {
                            name: name.to_owned(),
                            captures: captures.clone(),
                            files: files.clone(),
                            claim: claim.clone(),
                            extent,
                        });
                        let parsed = super::super::parse("scenario.yaml", text.as_bytes());
                        let parsed =
                            parsed.unwrap_or_else(|problems| panic!("{}\n{text}", problems.render()));
                        if let Some(claim) = claim {
                            assert_eq!(parsed.plan.claims[0].says, claim);
                        }
                        let there: usize = parsed.shorts.len();
                        assert_eq!(there, usize::from(!captures.is_empty()), "{text}");
                    }
                }
            }
        }
    }
}
