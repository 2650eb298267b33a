//! Tests of what nobody can read: how much went where in windows of an action, against what chance gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

record! {
    /// One test: whether more goes to an endpoint family behind an action that makes photos than chance gives.
    pub struct StatisticalTest {
        /// `T-` and ten hex digits of a digest over phase, action, destination and method.
        pub id: String,
        /// The phase.
        pub phase: String,
        /// The planned action, by id.
        pub action: String,
        /// Its sham: an action's id or a built-in one.
        pub sham: String,
        /// What the action makes: `photo`.
        pub class: String,
        /// Where to: the endpoint family.
        pub destination: String,
        /// How it is tested.
        pub method: Method,
        /// Bytes of the smallest upload that counts.
        pub least_bytes: u64,
        /// Windows of the action.
        pub action_windows: u32,
        /// Those of them with such an upload; of size codes, with one of the size of the photo that was made in it.
        pub action_hits: u32,
        /// Windows of the sham; of size codes none.
        pub sham_windows: u32,
        /// Those of them with such an upload: the background.
        pub sham_hits: u32,
        /// Codes that were never planted, which the planted one is ranked among; 0 where the method needs none.
        pub decoys: u32,
        /// Those of them that match at least as often.
        pub decoys_as_good: u32,
        /// The probability of such a result by luck, rounded up.
        pub probability: String,
        /// The same, adjusted over all tests of the plan (Holm).
        pub adjusted: String,
        /// How many tests it is adjusted over.
        pub tests: u32,
        /// What came of it.
        pub outcome: TestOutcome,
        /// Why it gives nothing, where it gives nothing.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pub why: String,
        /// Windows an arm with which it would most likely have shown an effect in each window; absent where there are enough,
        /// or where no number would do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub windows_needed: Option<u32>,
        /// What it takes for granted.
        pub assumptions: Vec<String>,
    }
}

/// How volume is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Windows of the action against windows of its sham, by drawing the lots again.
    Windows,
    /// Sizes of uploads against the sizes of the photos that were made, ranked among codes that were never planted.
    SizeCodes,
}

impl Method {
    /// As findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::SizeCodes => "size_codes",
        }
    }
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// Luck gives such a result at most as often as the level says: volume consistent with it.
    Significant,
    /// Luck may have given it.
    NotSignificant,
    /// Too few windows to expect a result.
    Underpowered,
    /// The test was not fixed beforehand, or not done as fixed: it carries no verdict.
    Exploratory,
    /// The traffic can't show it.
    NotCheckable,
}

impl TestOutcome {
    /// As findings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Significant => "significant",
            Self::NotSignificant => "not_significant",
            Self::Underpowered => "underpowered",
            Self::Exploratory => "exploratory",
            Self::NotCheckable => "not_checkable",
        }
    }
}
