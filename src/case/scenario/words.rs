//! The closed lists of the grammar: each word stated once, with what it means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$meta:meta])* $list:ident { $($(#[doc = $doc:literal])+ $word:ident = $name:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $list {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $word,)+
        }

        impl $list {
            /// Every word, its spelling and its meaning.
            pub const ALL: &[(Self, &str, &str)] = &[$((Self::$word, $name, concat!($($doc),+)),)+];

            /// The word as a scenario spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)+
                }
            }
        }
    )+};
}

words! {
    /// What a phase is for.
    RoleWord {
        /// The phone under test.
        Subject = "subject",
        /// Must show nothing: no phone, or another one.
        NegativeControl = "negative_control",
        /// Must show the consented upload.
        PositiveControl = "positive_control",
    }

    /// When the servers were those of the claim.
    EpochKind {
        /// The run and the claim speak of the same servers.
        Live = "live",
        /// A run today about a claim of another time.
        Relab = "relab",
    }

    /// What is done to the phone.
    Verb {
        /// Switch the phone on.
        Boot = "boot",
        /// Join the Wi-Fi that is captured.
        JoinWifi = "join-wifi",
        /// Leave it.
        LeaveWifi = "leave-wifi",
        /// Take a photo with the camera app.
        TakePhoto = "take-photo",
        /// Receive an SMS.
        ReceiveSms = "receive-sms",
        /// Send an SMS.
        SendSms = "send-sms",
        /// Open an SMS.
        OpenSms = "open-sms",
        /// Open a contact.
        OpenContact = "open-contact",
        /// Add a contact.
        AddContact = "add-contact",
        /// Nobody touches the phone.
        Idle = "idle",
        /// Consent to the cloud.
        ConsentCloud = "consent-cloud",
        /// Take the consent back.
        RevokeCloud = "revoke-cloud",
        /// Log in to the maker's account.
        LogIn = "log-in",
        /// Remove apps.
        RemoveApps = "remove-apps",
        /// Write the phone's software anew.
        Reflash = "reflash",
        /// Reset to factory settings.
        Reset = "reset",
        /// Nobody touches the phone, between actions.
        Wait = "wait",
    }

    /// Everything of an action but its artifact.
    Sham {
        /// The camera opened, no photo taken.
        OpenCamera = "open-camera",
        /// The screen woken.
        WakeScreen = "wake-screen",
        /// An empty contact opened.
        OpenEmptyContact = "open-empty-contact",
        /// Nobody touches the phone.
        Idle = "idle",
    }

    /// What must be so in a phase.
    RequirementWord {
        /// The phone's image is the one that the phase declares.
        RomMatches = "rom_matches",
        /// The cloud's setting is off.
        CloudOff = "cloud_off",
        /// The back-up's setting is off.
        BackupOff = "backup_off",
        /// Nobody is logged in.
        NoAccount = "no_account",
        /// These packages are not installed.
        PackagesAbsent = "packages_absent",
        /// These packages are installed.
        PackagesPresent = "packages_present",
        /// The phone has no link but the captured Wi-Fi.
        WifiOnly = "wifi_only",
    }

    /// The order of actions that have a sham.
    Order {
        /// Shuffled by the plan seed, also which arm each run gets.
        Randomized = "randomized",
        /// As written.
        Fixed = "fixed",
    }

    /// What a canary is.
    CanaryKind {
        /// A photo.
        Photo = "photo",
        /// An SMS body.
        Sms = "sms",
        /// A phone number.
        Number = "number",
        /// A file of another kind.
        File = "file",
        /// A contact's name or note.
        Contact = "contact",
    }

    /// What a short canary needs before a match counts.
    CanaryNeed {
        /// The field it stands in must name it.
        FieldContext = "field_context",
    }

    /// Sections whose digest is fixed before the first run.
    Section {
        /// `terms`
        Terms = "terms",
        /// `phases`
        Phases = "phases",
        /// `actions`
        Actions = "actions",
        /// `controls`
        Controls = "controls",
        /// `claims`
        Claims = "claims",
        /// `gates`
        Gates = "gates",
        /// `canaries`
        Canaries = "canaries",
    }

    /// What a spike travels in.
    Carrier {
        /// HTTP/1.1 in clear.
        Http1 = "http1",
        /// HTTP/2.
        Http2 = "http2",
        /// HTTP/3 over QUIC.
        Http3 = "http3",
        /// TLS 1.2.
        Tls12 = "tls12",
        /// TLS 1.3.
        Tls13 = "tls13",
        /// A WebSocket.
        Websocket = "websocket",
    }

    /// What two twin runs are compared by.
    TwinFigure {
        /// The hosts that were talked to.
        Hosts = "hosts",
        /// How much was sent.
        Sizes = "sizes",
        /// When it was sent.
        Times = "times",
    }

    /// What an artifact that the lab sends stands for.
    SpikeClass {
        /// A photo of the phone.
        Photo = "photo",
        /// The body of a message.
        Message = "message",
        /// A number, a name or another short value.
        Identifier = "identifier",
    }

    /// What the twin run goes without.
    Instrument {
        /// The debugging bridge.
        Adb = "adb",
        /// A certification authority of the lab.
        ForeignCa = "foreign_ca",
        /// A VPN app that re-makes packets.
        VpnApp = "vpn_app",
    }

    /// Where traffic was captured.
    Point {
        /// The Wi-Fi access point or hot spot.
        AccessPoint = "access-point",
        /// A router behind the access point.
        Gateway = "gateway",
        /// The phone itself, before a VPN app re-makes packets or without one.
        Phone = "phone",
        /// A proxy, which re-makes connections.
        Proxy = "proxy",
        /// A simulated phone's own link.
        Simulated = "simulated",
    }

    /// A link that a phone may use.
    Link {
        /// Wi-Fi.
        Wifi = "wifi",
        /// The mobile network.
        Cellular = "cellular",
        /// Bluetooth.
        Bluetooth = "bluetooth",
        /// A cable.
        Usb = "usb",
        /// A VPN's inside.
        Vpn = "vpn",
    }

    /// Whether the boot loader accepts other images.
    BootState {
        /// It does not.
        Locked = "locked",
        /// It does.
        Unlocked = "unlocked",
    }
}
