//! Every code that findings use, each with what it means and what would mend it.
//!
//! One list: the engine takes names from here, reports and `explain` take the words. Kinds of odd
//! traffic have their own list ([`AnomalyKind::ALL`]), which [`explain`] reads too.

use std::fmt;

use crate::evidence::AnomalyKind;

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodeKind {
    /// A gate that blocks everything that uses its phase; also a reason.
    GateForAll,
    /// A gate that blocks only conclusions from absence; also a reason.
    GateForAbsence,
    /// Stands in the way of a verdict.
    Reason,
    /// Stands beside a finding; also a reason where it takes a finding's weight away.
    Caveat,
    /// Another explanation than the claim's, which the evidence leaves open.
    Explanation,
    /// Odd traffic.
    Anomaly,
    /// A verdict.
    Status,
    /// A method by which something was found.
    Grade,
    /// A place of the uplink ledger.
    Place,
}

impl CodeKind {
    /// The kind for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::GateForAll => "gate: blocks every verdict that uses the phase",
            Self::GateForAbsence => "gate: blocks only conclusions from absence",
            Self::Reason => "reason",
            Self::Caveat => "caveat of a finding",
            Self::Explanation => "explanation that a verdict leaves open",
            Self::Anomaly => "odd traffic",
            Self::Status => "verdict",
            Self::Grade => "grade of a finding",
            Self::Place => "place of the uplink ledger",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $name:literal, $kind:ident, $means:literal, $mend:literal;)+) => {
        /// Gates, reasons and caveats, by the names that findings spell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $means] $variant,)+
        }

        impl Code {
            /// Every code, gates first.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as findings spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it is for.
            pub const fn kind(self) -> CodeKind {
                match self { $(Self::$variant => CodeKind::$kind,)+ }
            }

            /// What it means: one sentence for people.
            pub const fn means(self) -> &'static str {
                match self { $(Self::$variant => $means,)+ }
            }

            /// What would settle it: one sentence, empty where nothing can.
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$variant => $mend,)+ }
            }
        }
    };
}

codes! {
    Integrity = "integrity", GateForAll,
        "An input is not the one that was recorded: its digest or the record's chain of lines does not fit.",
        "Run with the inputs that were recorded, or record again.";
    Provenance = "provenance", GateForAll,
        "The phone's software is not shown to be what the phase declares: the digest of its image is missing or differs.",
        "Read the image off the phone and declare its digest for the phase.";
    Clock = "clock", GateForAll,
        "The clocks of phone and capture differ by more than the plan allows, so actions and traffic can't be put in order.",
        "Measure the clock's offset before and after each run.";
    Decoys = "decoys", GateForAll,
        "Content that never was on the phone was \"found\" in the traffic, so matches of this kind prove nothing here.",
        "Look at what the decoys matched; take longer or more random canaries.";
    Attribution = "attribution", GateForAll,
        "Traffic from the address can't be bound to the phone alone: another client may stand behind it.",
        "Give the phone its own network, and name its address or Wi-Fi address in the scenario.";
    PhaseRan = "phase_ran", GateForAll,
        "The phase has no run in which each of its required actions was recorded.",
        "Run the phase and record its actions.";
    Loss = "loss", GateForAbsence,
        "The capture lost packets or bytes of streams, and what was lost could have been an upload.",
        "Capture again with a larger buffer and no snap length.";
    ResidualCapacity = "residual_capacity", GateForAbsence,
        "More uplink bytes stayed unread or unaccounted for than the thing looked for needs, so it could be in them.",
        "Record the session keys, declare a schema for known fields, or rule the rest out another way.";
    Windows = "windows", GateForAbsence,
        "Too few windows were observed, or not each had a fresh artifact, to say anything from not finding one.",
        "Repeat the phase: 59 windows, each with a new artifact, are the least.";
    SpikeRecall = "spike_recall", GateForAbsence,
        "It was not shown that known uploads planted in this capture are found often enough.",
        "Send known artifacts through the same network, protocol and key state: 59 of 59 found are enough.";
    PositiveControl = "positive_control", GateForAbsence,
        "The phase in which an upload must be seen did not show one, so not seeing one elsewhere says nothing.",
        "Run the phase with consent given until its upload is seen.";
    Budget = "budget", GateForAbsence,
        "A stated limit of the analysis was reached, so part of the traffic was not searched.",
        "Run again with larger limits.";
    Epoch = "epoch", GateForAbsence,
        "The servers of the run are not shown to be those of the claim: a run today can't speak about another year's servers.",
        "Say in the scenario which epoch it is; for a past one only captures of that time can show absence.";
    Twin = "twin", GateForAbsence,
        "It was not compared with a phone without instruments, so the instruments may have changed what it does.",
        "Run the phase once without key logging or other instruments and compare hosts, sizes and times.";

    NoActions = "no_actions", Reason,
        "Nobody recorded what was done to the phone and when, so nothing can be said about what it does by itself.",
        "Record actions and idle times.";
    NoPackets = "no_packets", Reason,
        "The capture holds no packets of the phone.",
        "Check the capture and the phone's address.";
    PhaseNotRun = "phase_not_run", Reason,
        "A phase that the claim speaks of was not run.",
        "Run the phase.";
    OrderUnknown = "order_unknown", Reason,
        "The upload and the action lie closer together than the clocks can tell apart.",
        "Measure the clocks' offsets, or leave more time between.";
    OtherProtocols = "other_protocols", Reason,
        "The phone sent IP packets of protocols that are not read (ICMP, IPsec and others) with room for the thing looked for.",
        "Look at these packets with another tool, and keep such protocols from the phone: block pings, end its VPN.";
    OutsideRuns = "outside_runs", Reason,
        "The capture goes on between its runs, and what the phone sent there could be what was looked for.",
        "Record a capture for each run, or end each run where the next one begins.";
    AnswersPush = "answers_push", Reason,
        "The connection began within ten seconds of something that a server had sent unasked, so it may be the answer to a push.",
        "Look at connections that begin at other moments, or keep push services from reaching the phone.";
    NotObserved = "not_observed", Reason,
        "Nothing that would support it was observed; that alone does not show the contrary.",
        "";
    NotProbative = "not_probative", Caveat,
        "What matched is too short or too common: by chance alone it could be there.",
        "Use longer, random content, or a second, independent place.";
    Dedup = "dedup", Caveat,
        "Signs of a protocol that sends hashes or differences instead of content, so content may be known to the server without being sent.",
        "Use artifacts new to the world in each window.";
    CoverTraffic = "cover_traffic", Reason,
        "A flow sends at a constant rate, in which an upload would not show.",
        "";
    StatisticalOnly = "statistical_only", Reason,
        "Only sizes and times speak for it, which can't carry this verdict.",
        "Record the session keys.";
    NoWitness = "no_witness", Reason,
        "The same kind of event was not seen where it is expected, so never seeing it elsewhere says nothing.",
        "Run the phase in which the event must happen.";
    Underpowered = "underpowered", Reason,
        "The design has too few windows for the test to find an effect of the stated size.",
        "Add windows; the plan says how many.";
    SharedHost = "shared_host", Reason,
        "The connection or its address serves several names, and to which of them the bytes went can't be told.",
        "Record the session keys, so that each request shows its host.";
    AmbiguousBytes = "ambiguous_bytes", Caveat,
        "Overlapping segments gave different bytes for the same place, so what the server took is not certain.",
        "";
    SeenDownlinkFirst = "seen_downlink_first", Caveat,
        "The same bytes came down to the phone before they went up, so they need not come from the phone's own content.",
        "Use artifacts that were made on the phone.";
    Echo = "echo", Caveat,
        "The remote end had sent these few bytes itself, and got them back: so are challenges and cookies answered.",
        "Use values that no server ever sent, and look for them where none was sent down.";
    IdenticalInOtherPhases = "identical_in_other_phases", Caveat,
        "The same bytes went up in a negative control, without the phone or from another one, so they need not come from this one.",
        "Use artifacts that no other device holds, made afresh for the phase.";
    PrecedesCreation = "precedes_creation", Caveat,
        "The bytes were sent before the artifact was made.",
        "";
    TableDate = "table_date", Caveat,
        "The address table is more than 90 days from the capture, and registrations change.",
        "Use a table of the capture's time.";
    TablesDisagree = "tables_disagree", Caveat,
        "Address tables give different countries for the address.",
        "";
    CommonContent = "common_content", Caveat,
        "Some of the bytes stand in several artifacts, so those don't point to this one and are not counted.",
        "";
    Placeholder = "placeholder", Caveat,
        "The value is one that systems give in place of the real one, so it identifies nothing.",
        "";
    InsideLonger = "inside_longer", Caveat,
        "The value was seen only inside a longer number or word.",
        "Look at the bytes around it: `exhibit show` names the frames.";
    BeginningOnly = "beginning_only", Caveat,
        "Of the message only the beginning was seen, as previews hold it; other messages may begin alike.",
        "Look at the bytes around it, and use messages that begin with something new.";
    OtherDevice = "other_device", Caveat,
        "The bytes were sent from an address that is not the phone's.",
        "Name the phone's addresses in the scenario, or capture where only the phone is connected.";
    AnotherMachine = "another_machine", Explanation,
        "Another machine behind the phone's address sent it.",
        "Bind the address to the phone: its own network, its Wi-Fi address in the scenario.";
    AnotherProgram = "another_program", Explanation,
        "A program that somebody installed sent it, not what came with the phone.",
        "Begin the phase with a factory reset, or record which program opens each connection.";
    DoneByHand = "done_by_hand", Explanation,
        "Somebody using the phone sent it.",
        "Record what is done to the phone, and leave it alone.";
    OtherImage = "other_image", Explanation,
        "Other software than that of the claim ran on the phone.",
        "Read the image off the phone in each run and declare its digest.";
    ClocksOff = "clocks_off", Explanation,
        "The clocks differ by more than is known, so that it happened at another moment than it seems.",
        "Compare the clocks in each run.";
    ContentFromElsewhere = "content_from_elsewhere", Explanation,
        "The same content came from elsewhere: it was not made in the run, so others may hold it too.",
        "Use content that is new to the world and made in the run.";
    SomethingOfThatSize = "something_of_that_size", Explanation,
        "Something else of that size goes out behind the action.",
        "Record the session keys.";
    Fabricated = "fabricated", Explanation,
        "Whoever held the session keys made the content up.",
        "Let a second party keep the keys or the capture.";
    UnreadEncoding = "unread_encoding", Explanation,
        "It was sent in a form that is not read here, or in pieces smaller than what is looked for.",
        "Look at what the ledger calls undetermined and opaque.";
    OtherPath = "other_path", Explanation,
        "It went another way than past the point of capture.",
        "Capture there too, or take that way from the phone.";
    OutsideWindows = "outside_windows", Explanation,
        "It was sent later than the capture went on.",
        "Let each run go on for longer than the longest delay that the positive control shows.";
    OtherTrigger = "other_trigger", Explanation,
        "It is sent on an event that the plan does not hold: a server's command, another place, another day.",
        "Add the event to the plan.";
    TestNoticed = "test_noticed", Explanation,
        "The phone behaves otherwise because it is looked at.",
        "Compare with a run without instruments.";
    RarerThanShown = "rarer_than_shown", Explanation,
        "It happens more rarely than that number of windows can show.",
        "Repeat the phase: the rate that is still possible falls with the number of windows.";
    SentUnread = "sent_unread", Explanation,
        "It was sent, and what stands in the way hides it.",
        "";
    NotSent = "not_sent", Explanation,
        "It was not sent.",
        "";
}

impl Code {
    /// The code of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Whether it names a gate.
    pub const fn is_gate(self) -> bool {
        matches!(self.kind(), CodeKind::GateForAll | CodeKind::GateForAbsence)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What `explain` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub name: &'static str,
    /// What it is for.
    pub kind: CodeKind,
    /// What it means.
    pub means: &'static str,
    /// What would settle it; empty where nothing can.
    pub mend: &'static str,
}

/// Verdicts, grades and places of the ledger: words that reports print and readers look up.
const WORDS: &[(&str, CodeKind, &str)] = &[
    ("supported", CodeKind::Status, "The tested reading holds within the scope that is printed beside it."),
    (
        "refuted",
        CodeKind::Status,
        "The tested reading does not hold within the scope that is printed beside it.",
    ),
    (
        "inconclusive",
        CodeKind::Status,
        "The evidence does not settle it; the reasons say what stands in the way.",
    ),
    ("untestable", CodeKind::Status, "No traffic can show it, whatever is captured."),
    ("exact", CodeKind::Grade, "What was sent, decoded, is the device file by SHA-256: the whole file."),
    (
        "partial",
        CodeKind::Grade,
        "Identical runs of the device file were sent: the printed ranges, and no more.",
    ),
    ("record", CodeKind::Grade, "The value of a message or contact was sent, plain, encoded or hashed."),
    ("identifier", CodeKind::Grade, "The value of an identifier was sent, plain, encoded or hashed."),
    (
        "derived",
        CodeKind::Grade,
        "An altered copy of an image was sent: it looks the same and its bytes differ.",
    ),
    (
        "statistical",
        CodeKind::Grade,
        "Sizes and times of unreadable traffic fit; never more than \"consistent with\".",
    ),
    ("matched", CodeKind::Place, "Uplink bytes that stand behind a probative finding."),
    ("understood", CodeKind::Place, "Uplink bytes of a named format whose every value is accounted for."),
    ("undetermined", CodeKind::Place, "Uplink bytes that were decoded but hold values nobody accounts for."),
    ("opaque", CodeKind::Place, "Uplink bytes that are encrypted without keys, or in an unknown format."),
    ("lost", CodeKind::Place, "Uplink bytes that the capture does not hold."),
];

/// Everything that can be explained, gates, reasons and caveats first.
pub fn all() -> impl Iterator<Item = Explanation> {
    let codes = Code::ALL.iter().map(|code| Explanation {
        name: code.name(),
        kind: code.kind(),
        means: code.means(),
        mend: code.mend(),
    });
    let words = WORDS.iter().map(|&(name, kind, means)| Explanation { name, kind, means, mend: "" });
    let anomalies = AnomalyKind::ALL.iter().map(|&(_, name, means)| Explanation {
        name,
        kind: CodeKind::Anomaly,
        means: means.trim(),
        mend: "",
    });
    codes.chain(words).chain(anomalies)
}

/// Explains one code; `no_packets`, which is a reason and odd traffic, is explained as the reason.
pub fn explain(name: &str) -> Option<Explanation> {
    all().find(|explanation| explanation.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::named(code.name()), Some(*code));
        }
        assert_eq!(Code::named("residual-capacity"), None);
    }

    #[test]
    fn every_explanation_is_a_sentence() {
        for explanation in all() {
            for text in [explanation.means, explanation.mend] {
                assert!(text.is_empty() || text.ends_with('.'), "{}: {text}", explanation.name);
                assert!(
                    !text.starts_with(|c: char| c.is_lowercase() || c == ' '),
                    "{}: {text}",
                    explanation.name
                );
            }
            assert!(!explanation.means.is_empty(), "{}", explanation.name);
        }
    }

    #[test]
    fn gates_block_what_the_method_says() {
        let names =
            |kind| Code::ALL.iter().filter(|c| c.kind() == kind).map(|c| c.name()).collect::<Vec<_>>();
        assert_eq!(
            names(CodeKind::GateForAll),
            ["integrity", "provenance", "clock", "decoys", "attribution", "phase_ran"]
        );
        assert_eq!(
            names(CodeKind::GateForAbsence),
            [
                "loss",
                "residual_capacity",
                "windows",
                "spike_recall",
                "positive_control",
                "budget",
                "epoch",
                "twin"
            ]
        );
    }

    #[test]
    fn odd_traffic_and_verdicts_are_explained_too() {
        assert_eq!(explain("stream_gap").map(|e| e.kind), Some(CodeKind::Anomaly));
        assert_eq!(explain("no_packets").map(|e| e.kind), Some(CodeKind::Reason));
        assert_eq!(explain("inconclusive").map(|e| e.kind), Some(CodeKind::Status));
        assert_eq!(explain("proved"), None);
    }
}
