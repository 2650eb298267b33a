//! The lab's own encoders: DNS, DHCP, NTP, HTTP/1.1, HTTP/2, WebSocket, MQTT. They share no line with the engine's parsers.

pub(super) mod dhcp;
pub(super) mod dns;
pub(super) mod http;
pub(super) mod http2;
pub(super) mod mqtt;
pub(super) mod ntp;
pub(super) mod websocket;
