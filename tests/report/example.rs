//! Findings written by hand: every status, grade and gate state, and the worst names a stranger can send.

use std::collections::BTreeMap;

use exhibit::{
    evidence::{
        Anomaly, AnomalyKind, ByteRange, Digest, Direction, FrameNo, FrameRange, Timestamp, Transport,
    },
    findings::{
        ActionSummary, ArtifactSummary, CaptureSummary, Control, Custody, DeclaredSummary, EndpointSummary,
        FORMAT, Finding, Findings, FlowSummary, Gate, GateState, Grade, Ledger, LedgerRow, Part, Places,
        ReplyAsked, RunSummary, Scope, Settings, Status, Step, Subject, Uncovered, Unreported, Verdict,
        Window,
    },
};

/// What no medium may print as it stands.
pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script>|`x`\u{1b}[31m\u{202e}gpj.exe\n# [a](http://evil.example)<img src=x>&amp;";

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn places(matched: u64, understood: u64, undetermined: u64, opaque: u64, lost: u64) -> Places {
    let total = matched + understood + undetermined + opaque + lost;
    Places { matched, understood, undetermined, opaque, lost, total, sealed: 0 }
}

fn row(of: &str, bytes: Places) -> LedgerRow {
    LedgerRow { of: of.to_owned(), bytes }
}

/// A case with a bit of everything.
pub(crate) fn rich() -> Findings {
    Findings {
        format: FORMAT.to_owned(),
        case: "redmi-note".to_owned(),
        title: "Does the phone upload photos, messages and identifiers by itself?".to_owned(),
        simulated: true,
        reply: Some(ReplyAsked { party: "Example Phones <Ltd>".to_owned(), days: 30 }),
        subject: Subject {
            model: Some("Redmi Note".to_owned()),
            addresses: texts(&["192.168.43.17"]),
            bound_by: "declared".to_owned(),
            identifiers: texts(&["imei", "own_number"]),
            captured_at: Some("access-point".to_owned()),
            blind_to: texts(&["cellular"]),
        },
        settings: Settings {
            min_run: 128,
            max_depth: 12,
            max_decoded: 8 << 30,
            address_table: "iptocc 1.4.175".to_owned(),
            address_table_date: "2026-11-18".to_owned(),
        },
        captures: captures(),
        runs: runs(),
        unreported: vec![Unreported {
            phase: "stock".to_owned(),
            planned: 3,
            missing: 1,
            runs: texts(&["stock/03"]),
        }],
        ledger: Ledger {
            all: places(259_414, 18_220, 1_911, 412_008, 1_460),
            by_phase: vec![
                row("apps-removed", places(96_000, 9_000, 811, 150_008, 0)),
                row("stock", places(163_414, 9_220, 1_100, 262_000, 1_460)),
            ],
            by_destination: vec![
                row("cdn.example", places(259_399, 9_000, 1_911, 0, 0)),
                row("198.51.100.4", places(0, 0, 0, 412_008, 1_460)),
                row(
                    "a.very.long.name.that.does.not.end.soon.and.has.many.labels.in.it.example",
                    places(15, 9_220, 0, 0, 0),
                ),
            ],
            by_window: vec![row("stock/01/shoot", places(163_399, 220, 0, 0, 0))],
        },
        endpoints: endpoints(),
        flows: vec![
            flow("captures/stock.pcapng#812 1:aaaa", "captures/stock.pcapng", 812, "203.0.113.9:80"),
            flow("captures/stock.pcapng#1500 1:bbbb", "captures/stock.pcapng", 1_500, "203.0.113.9:80"),
        ],
        endpoint_count: None,
        flow_count: 41,
        artifacts: artifacts(),
        findings: findings(),
        probes: Vec::new(),
        statistics: Vec::new(),
        declared: vec![DeclaredSummary {
            term: "preferences".to_owned(),
            phase: "stock".to_owned(),
            messages: 12,
            bytes: 640,
        }],
        claims: claims(),
        gates: gates(),
        controls: vec![Control {
            id: "cloud-on".to_owned(),
            state: GateState::Held,
            figure: "1 consented upload seen".to_owned(),
        }],
        custody: Custody { events: 4, head: Some(Digest::of(b"record")) },
        anomalies: vec![
            Anomaly {
                kind: AnomalyKind::StreamGap,
                capture: "captures/stock.pcapng".to_owned(),
                frame: Some(FrameNo(2_201)),
                flow: Some("captures/stock.pcapng#2100 1:cccc".to_owned()),
                detail: "1460 bytes at stream offset 4380 are not in the capture".to_owned(),
            },
            Anomaly {
                kind: AnomalyKind::HttpMalformed,
                capture: "captures/stock.pcapng".to_owned(),
                frame: None,
                flow: None,
                detail: "header name \\u{1b}[2J".to_owned(),
            },
        ],
        anomaly_count: 2,
    }
}

/// The same case with [`HOSTILE`] in each place that a capture, a scenario or a forged `findings.json` can fill.
pub(crate) fn hostile() -> Findings {
    let mut findings = rich();
    let long = "long-".repeat(400);
    findings.case = HOSTILE.to_owned();
    findings.title = HOSTILE.to_owned();
    findings.subject.model = Some(HOSTILE.to_owned());
    findings.subject.addresses = texts(&[HOSTILE]);
    findings.subject.bound_by = HOSTILE.to_owned();
    findings.subject.captured_at = Some(HOSTILE.to_owned());
    findings.subject.blind_to = texts(&[HOSTILE]);
    findings.settings.address_table = HOSTILE.to_owned();
    findings.settings.address_table_date = HOSTILE.to_owned();
    for capture in &mut findings.captures {
        capture.name = HOSTILE.to_owned();
    }
    for run in &mut findings.runs {
        run.id = HOSTILE.to_owned();
        run.phase = HOSTILE.to_owned();
        run.device_state.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
        for action in &mut run.actions {
            action.id = HOSTILE.to_owned();
            action.verb = HOSTILE.to_owned();
            action.by = HOSTILE.to_owned();
        }
        for window in &mut run.windows {
            window.id = HOSTILE.to_owned();
        }
    }
    for list in
        [&mut findings.ledger.by_phase, &mut findings.ledger.by_destination, &mut findings.ledger.by_window]
    {
        for row in list {
            row.of = HOSTILE.to_owned();
        }
    }
    for end in &mut findings.endpoints {
        end.address = HOSTILE.to_owned();
        end.names = vec![HOSTILE.to_owned(), long.clone()];
        end.registered_country = Some(HOSTILE.to_owned());
        end.table = HOSTILE.to_owned();
        end.phases = texts(&[HOSTILE]);
        end.server_signature = HOSTILE.to_owned();
    }
    for artifact in &mut findings.artifacts {
        artifact.name = HOSTILE.to_owned();
        artifact.kind = HOSTILE.to_owned();
    }
    for finding in &mut findings.findings {
        hostile_finding(finding);
    }
    for claim in &mut findings.claims {
        hostile_claim(claim, &long);
    }
    for gate in &mut findings.gates {
        gate.id = HOSTILE.to_owned();
        gate.phase = HOSTILE.to_owned();
        gate.figure = HOSTILE.to_owned();
    }
    for control in &mut findings.controls {
        control.id = HOSTILE.to_owned();
        control.figure = HOSTILE.to_owned();
    }
    for anomaly in &mut findings.anomalies {
        anomaly.capture = HOSTILE.to_owned();
        anomaly.detail = HOSTILE.to_owned();
    }
    findings
}

fn hostile_finding(finding: &mut Finding) {
    finding.id = HOSTILE.to_owned();
    finding.artifact = HOSTILE.to_owned();
    finding.phase = HOSTILE.to_owned();
    finding.destination = HOSTILE.to_owned();
    finding.encoding = HOSTILE.to_owned();
    finding.chance = HOSTILE.to_owned();
    finding.caveats = texts(&[HOSTILE]);
    for part in &mut finding.parts {
        part.capture = HOSTILE.to_owned();
        part.flow = HOSTILE.to_owned();
        part.run = Some(HOSTILE.to_owned());
        part.action = Some(HOSTILE.to_owned());
        part.filter = HOSTILE.to_owned();
        part.excerpt = HOSTILE.to_owned();
        for step in &mut part.steps {
            step.op = HOSTILE.to_owned();
            step.param = Some(HOSTILE.to_owned());
        }
    }
}

fn hostile_claim(claim: &mut Verdict, long: &str) {
    claim.id = HOSTILE.to_owned();
    claim.by = Some(HOSTILE.to_owned());
    claim.says = format!("{HOSTILE}{long}");
    claim.reading = HOSTILE.to_owned();
    claim.kind = HOSTILE.to_owned();
    claim.grade = Some(HOSTILE.to_owned());
    claim.reasons = texts(&[HOSTILE]);
    claim.findings = texts(&[HOSTILE]);
    claim.endpoints = texts(&[HOSTILE]);
    claim.figures = BTreeMap::from([(HOSTILE.to_owned(), HOSTILE.to_owned())]);
    claim.permits = HOSTILE.to_owned();
    claim.does_not_permit = HOSTILE.to_owned();
    claim.scope.phases = texts(&[HOSTILE]);
    claim.scope.captured_at = HOSTILE.to_owned();
    claim.scope.from = HOSTILE.to_owned();
    claim.scope.to = HOSTILE.to_owned();
    claim.scope.not_checkable = texts(&[HOSTILE]);
    for part in &mut claim.not_covered {
        part.part = HOSTILE.to_owned();
        part.reason = HOSTILE.to_owned();
        part.test_by = HOSTILE.to_owned();
    }
}

fn captures() -> Vec<CaptureSummary> {
    let capture = |name: &str, run: &str, first, last, dropped| CaptureSummary {
        name: name.to_owned(),
        sha256: Digest::of(name.as_bytes()),
        bytes: 1_204_116,
        packets: 2_377,
        first: Some(time(first)),
        last: Some(time(last)),
        dropped,
        runs: texts(&[run]),
    };
    vec![
        capture(
            "captures/apps-removed.pcapng",
            "apps-removed/01",
            "2026-11-20T11:00:00Z",
            "2026-11-20T11:10:00Z",
            Some(0),
        ),
        capture("captures/stock.pcapng", "stock/01", "2026-11-20T10:00:00.25Z", "2026-11-20T10:10:00Z", None),
    ]
}

fn runs() -> Vec<RunSummary> {
    let action = |id: &str, verb: &str, start: &str, end: &str, makes: &[&str]| ActionSummary {
        id: id.to_owned(),
        verb: verb.to_owned(),
        start: time(start),
        end: time(end),
        by: "simulated".to_owned(),
        makes: texts(makes),
    };
    let window =
        |id: &str, start, end, idle| Window { id: id.to_owned(), start: time(start), end: time(end), idle };
    vec![
        RunSummary {
            id: "stock/01".to_owned(),
            phase: "stock".to_owned(),
            recorded: true,
            actions: vec![
                action(
                    "shoot",
                    "take-photo",
                    "2026-11-20T10:00:05Z",
                    "2026-11-20T10:00:07Z",
                    &["DCIM/Camera/IMG_0001.jpg"],
                ),
                action("rest", "idle", "2026-11-20T10:05:00Z", "2026-11-20T10:05:00Z", &[]),
            ],
            windows: vec![
                window("stock/01/shoot", "2026-11-20T10:00:05Z", "2026-11-20T10:05:00Z", false),
                window("stock/01/rest", "2026-11-20T10:05:00Z", "2026-11-20T10:10:00Z", true),
            ],
            device_state: BTreeMap::from([("cloud".to_owned(), "off".to_owned())]),
        },
        RunSummary {
            id: "apps-removed/01".to_owned(),
            phase: "apps-removed".to_owned(),
            recorded: true,
            actions: vec![action(
                "remove",
                "remove-apps",
                "2026-11-20T11:00:10Z",
                "2026-11-20T11:00:40Z",
                &[],
            )],
            windows: vec![window(
                "apps-removed/01/remove",
                "2026-11-20T11:00:10Z",
                "2026-11-20T11:09:00Z",
                false,
            )],
            device_state: BTreeMap::new(),
        },
    ]
}

fn endpoints() -> Vec<EndpointSummary> {
    let end =
        |address: &str, port, names: &[&str], country: Option<&str>, special: Option<&str>| EndpointSummary {
            address: address.to_owned(),
            port,
            transport: Transport::Tcp,
            names: texts(names),
            registered_country: country.map(str::to_owned),
            special: special.map(str::to_owned),
            table: "iptocc 1.4.175, 2026-11-18".to_owned(),
            phases: texts(&["apps-removed", "stock"]),
            uplink_bytes: 270_310,
            downlink_bytes: 8_120,
            server_signature: "absent".to_owned(),
            signed_by: Vec::new(),
        };
    vec![
        end("203.0.113.9", 80, &["cdn.example (dns)", "cdn.example (http host)"], Some("CN"), None),
        end("198.51.100.4", 443, &["api.example (sni)"], Some("SG"), None),
        end("2001:db8::7", 443, &[], None, Some("documentation")),
    ]
}

fn flow(name: &str, capture: &str, first_frame: u32, remote: &str) -> FlowSummary {
    FlowSummary {
        name: name.to_owned(),
        capture: capture.to_owned(),
        first_frame: FrameNo(first_frame),
        community_id: name.split(' ').nth(1).unwrap_or_default().to_owned(),
        transport: Transport::Tcp,
        local: "192.168.43.17:40312".to_owned(),
        remote: remote.to_owned(),
        names: Vec::new(),
        protocol: "http1".to_owned(),
        frames: 566,
        first: time("2026-11-20T10:00:40Z"),
        last: time("2026-11-20T10:00:43Z"),
        uplink: places(96_000, 220, 0, 0, 0),
        downlink_bytes: 120,
        handshake: true,
        opened_by: "phone".to_owned(),
        run: Some("stock/01".to_owned()),
        unasked_ms: None,
    }
}

fn artifacts() -> Vec<ArtifactSummary> {
    let photo = |name: &str, created: Option<&str>| ArtifactSummary {
        name: name.to_owned(),
        kind: "photo".to_owned(),
        phases: texts(&["apps-removed", "stock"]),
        bytes: 96_000,
        sha256: Some(Digest::of(name.as_bytes())),
        created: created.map(time),
    };
    let mut all = vec![
        photo("DCIM/Camera/IMG_0001.jpg", Some("2026-11-20T10:00:06Z")),
        photo(
            "DCIM/Camera/IMG_0002 (a long name, as some galleries write them when they merge albums).jpg",
            None,
        ),
        photo("DCIM/Camera/IMG_0003.jpg", None),
        photo("DCIM/Camera/IMG_0004.jpg", None),
    ];
    all.push(ArtifactSummary {
        name: "identifier:imei".to_owned(),
        kind: "identifier".to_owned(),
        phases: texts(&["stock"]),
        bytes: 0,
        sha256: None,
        created: None,
    });
    all
}

fn part(flow: &str, frames: (u32, u32), artifact: (u64, u64), after_ms: i64) -> Part {
    Part {
        capture: "captures/stock.pcapng".to_owned(),
        flow: flow.to_owned(),
        direction: Direction::Up,
        run: Some("stock/01".to_owned()),
        action: Some("shoot".to_owned()),
        after_ms: Some(after_ms),
        first: time("2026-11-20T10:00:41.123Z"),
        last: time("2026-11-20T10:00:43.5Z"),
        frames: vec![FrameRange { first: FrameNo(frames.0), last: FrameNo(frames.1) }],
        stream_range: ByteRange::new(0, artifact.1 - artifact.0 + 400),
        artifact_range: ByteRange::new(artifact.0, artifact.1),
        steps: vec![
            Step {
                op: "http1.body".to_owned(),
                param: None,
                input: ByteRange::new(180, artifact.1 - artifact.0 + 400),
                output: artifact.1 - artifact.0 + 220,
            },
            Step {
                op: "multipart.part".to_owned(),
                param: Some("photo".to_owned()),
                input: ByteRange::new(140, artifact.1 - artifact.0 + 140),
                output: artifact.1 - artifact.0,
            },
        ],
        leaf_range: ByteRange::new(0, artifact.1 - artifact.0),
        filter: format!("frame.number>={} && frame.number<={}", frames.0, frames.1),
        excerpt: "ffd8ffe000104a46494600010100000100010000ffdb004300".repeat(2),
    }
}

fn findings() -> Vec<Finding> {
    let base = |id: &str, grade, artifact: &str, ranges: &[(u64, u64)]| {
        let ranges: Vec<_> = ranges.iter().map(|&(start, end)| ByteRange::new(start, end)).collect();
        Finding {
            id: id.to_owned(),
            grade,
            artifact: artifact.to_owned(),
            phase: "stock".to_owned(),
            destination: "cdn.example".to_owned(),
            matched_bytes: ByteRange::covered(ranges.iter().copied()),
            probative_bytes: ByteRange::covered(ranges.iter().copied()),
            artifact_bytes: 96_000,
            artifact_ranges: ranges,
            sha256: Some(Digest::of(artifact.as_bytes())),
            encoding: "http1.body > multipart.part".to_owned(),
            form: None,
            tests: Vec::new(),
            distance: None,
            chance: "<=1e-9".to_owned(),
            probative: true,
            caveats: Vec::new(),
            parts: Vec::new(),
        }
    };
    let mut whole = base("F-3fa94c01de", Grade::Exact, "DCIM/Camera/IMG_0001.jpg", &[(0, 96_000)]);
    whole.parts = vec![part("captures/stock.pcapng#812 1:aaaa", (812, 1_377), (0, 96_000), 36_123)];
    let long = artifacts().swap_remove(1).name;
    let mut piece = base("F-77aa00bb12", Grade::Partial, &long, &[(0, 24_000), (48_000, 91_399)]);
    piece.caveats = texts(&["seen_downlink_first"]);
    piece.parts = vec![
        part("captures/stock.pcapng#1500 1:bbbb", (1_500, 1_530), (0, 24_000), 70_000),
        part("captures/stock.pcapng#1500 1:bbbb", (1_540, 1_599), (48_000, 91_399), 71_500),
    ];
    let mut value = base("F-0102030405", Grade::Identifier, "identifier:imei", &[(0, 15)]);
    value.sha256 = None;
    value.artifact_bytes = 15;
    value.probative = false;
    value.chance = "<=4e-2".to_owned();
    value.caveats = texts(&["not_probative", "placeholder"]);
    value.parts = vec![part("captures/stock.pcapng#1500 1:bbbb", (1_500, 1_500), (0, 15), 70_000)];
    for part in &mut value.parts {
        part.excerpt = String::new();
    }
    vec![whole, piece, value]
}

fn scope(phases: &[&str]) -> Scope {
    Scope {
        phases: texts(phases),
        captured_at: "access-point".to_owned(),
        from: "2026-11-20".to_owned(),
        to: "2026-11-20".to_owned(),
        observed_seconds: 1_200,
        not_checkable: texts(&["epoch", "spike_recall", "twin"]),
    }
}

fn claim(id: &str, by: &str, says: &str, reading: &str, status: Status) -> Verdict {
    Verdict {
        id: id.to_owned(),
        by: Some(by.to_owned()),
        says: says.to_owned(),
        reading: reading.to_owned(),
        kind: "existential".to_owned(),
        status,
        grade: None,
        scope: scope(&["stock"]),
        reasons: Vec::new(),
        findings: Vec::new(),
        endpoints: Vec::new(),
        connections: Vec::new(),
        figures: BTreeMap::new(),
        permits: String::new(),
        does_not_permit: String::new(),
        left_open: Vec::new(),
        not_covered: Vec::new(),
    }
}

fn claims() -> Vec<Verdict> {
    let mut connects = claim(
        "L1",
        "Li",
        "in Wi-Fi mode it will connect to a server with an address based in mainland China without notifying its user",
        "connects, while nobody touches it, to an address registered in mainland China",
        Status::Supported,
    );
    connects.endpoints = texts(&["203.0.113.9:80"]);
    connects.permits = "On 2026-11-20 the phone connected to 203.0.113.9:80, an address registered to CN in iptocc 1.4.175 of 2026-11-18, as recorded at the access point; whoever holds the session keys could fabricate content.".to_owned();
    connects.does_not_permit = "The phone sends data to the Chinese government.".to_owned();
    connects.not_covered = vec![Uncovered {
        part: "without notifying its user".to_owned(),
        reason: "traffic does not show what the screen showed".to_owned(),
        test_by: "a screen recording".to_owned(),
    }];
    let mut photo =
        claim("L2", "Li", "after connecting, uploads photos", "uploads a photo", Status::Supported);
    photo.grade = Some("exact".to_owned());
    photo.findings = texts(&["F-3fa94c01de", "F-77aa00bb12"]);
    photo.figures = BTreeMap::from([
        ("findings".to_owned(), "2".to_owned()),
        ("matched_bytes".to_owned(), "163399".to_owned()),
    ]);
    photo.permits = "DCIM/Camera/IMG_0001.jpg was uploaded whole to cdn.example, as recorded at the access point; whoever holds the session keys could fabricate content.".to_owned();
    photo.does_not_permit = "All photos are uploaded.".to_owned();
    let mut messages = claim("L3", "Li", "chat messages", "uploads a message body", Status::Inconclusive);
    messages.reasons = texts(&["not_observed", "residual_capacity", "windows"]);
    messages.figures = BTreeMap::from([("residual_bytes".to_owned(), "415379".to_owned())]);
    messages.permits =
        "No message body was found in the listed encodings; 64 % of the uplink could not be read.".to_owned();
    messages.does_not_permit = "The phone does not upload messages.".to_owned();
    let mut never = claim(
        "X1",
        "Xiaomi",
        "does not upload personal information",
        "uploads no photo, body or identifier before consent",
        Status::Refuted,
    );
    never.kind = "universal".to_owned();
    never.grade = Some("partial + exact".to_owned());
    never.reasons = texts(&["seen_downlink_first"]);
    never.findings = texts(&["F-3fa94c01de"]);
    never.scope = scope(&["stock", "apps-removed"]);
    never.permits = "Before any consent a photo was uploaded.".to_owned();
    never.does_not_permit = "The maker lied.".to_owned();
    let mut laws = claim("X8", "Xiaomi", "compliance with privacy laws", "none", Status::Untestable);
    laws.kind = "untestable".to_owned();
    laws.not_covered = vec![Uncovered {
        part: "compliance with privacy laws".to_owned(),
        reason: "a question of law, not of traffic".to_owned(),
        test_by: String::new(),
    }];
    vec![connects, photo, messages, never, laws]
}

fn gates() -> Vec<Gate> {
    let gate = |id: &str, phase: &str, state, figure: &str| Gate {
        id: id.to_owned(),
        phase: phase.to_owned(),
        state,
        figure: figure.to_owned(),
    };
    vec![
        gate("attribution", "apps-removed", GateState::Held, "declared address, one client"),
        gate("epoch", "apps-removed", GateState::NotCheckable, "the scenario declares none"),
        gate("phase_ran", "apps-removed", GateState::Held, "1 of 1 runs"),
        gate("loss", "stock", GateState::Failed, "1,460 bytes of streams are missing"),
        gate("residual_capacity", "stock", GateState::Failed, "264,560 bytes, 4,096 allowed"),
        gate("spike_recall", "stock", GateState::NotCheckable, "not built in this version"),
        gate("windows", "stock", GateState::Failed, "1 of 59"),
    ]
}
