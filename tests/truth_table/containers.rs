//! Files, packets, times, damage, and how many conversations over UDP there are.

use exhibit::evidence::AnomalyKind;

use crate::{
    pair::{Pair, list, text},
    tally::Tally,
};

pub(crate) fn compare(pair: &Pair<'_>, tally: &mut Tally) {
    let Pair { name, truth, ours, .. } = *pair;
    let format = text(&truth["container"]["format"]);
    let theirs = format!(
        "{} bytes, {}, {}, gzip {}, links {:?}, {} secrets",
        truth["size"],
        text(&truth["sha256"]),
        if format.starts_with("ng") { "pcapng" } else { format },
        truth["container"]["gzip"],
        list(&truth["container"]["link_types"]).iter().map(ToString::to_string).collect::<Vec<_>>(),
        list(&truth["dsb"]).len(),
    );
    let links: Vec<String> = ours.container.link_types.iter().map(ToString::to_string).collect();
    let said = format!(
        "{} bytes, {}, {}, gzip {}, links {links:?}, {} secrets",
        ours.size, ours.sha256, ours.container.format, ours.container.gzip, ours.container.secrets
    );
    tally.same("containers", name, "-", said, theirs);
    tally.same("packet counts", name, "-", ours.packets, &truth["read"]["packets"]);
    let udp = ours.flows.iter().filter(|flow| flow.transport == "udp").count();
    tally.same("UDP conversations", name, "-", udp, &truth["counts"]["udp_streams"]);
    if !truth["time"].is_null() {
        let theirs = ["first", "last"].map(|which| text(&truth["time"][which]));
        let said = [&ours.first, &ours.last].map(|time| time.clone().unwrap_or_default());
        // A frame without a time has none in truth.
        let said: Vec<&str> =
            said.iter().zip(theirs).map(|(ours, theirs)| if theirs.is_empty() { "" } else { ours }).collect();
        tally.same("times", name, "-", said.join(" to "), theirs.join(" to "));
    }
    let odd = [AnomalyKind::CaptureCutOff, AnomalyKind::ContainerDamaged, AnomalyKind::CompressionDamaged];
    let noticed = ours.anomalies.iter().find(|anomaly| odd.contains(&anomaly.kind));
    match (truth["read"]["tshark_error"].as_str(), noticed) {
        (Some(error), None) => {
            tally.compared("damaged files", name, "-", Some(format!("not noticed: {error}")))
        }
        (Some(_), Some(_)) => tally.compared("damaged files", name, "-", None),
        (None, Some(anomaly)) => tally.beside("damaged files", name, "-", anomaly.detail.clone()),
        (None, None) => {}
    }
}
