//! How much of what could be tried is tried: `EXHIBIT_SOAK`, read when a test runs (`tests/run --soak` sets it to 1).
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

/// The number that a soak was asked for with, 1 where it is none; `None` in an ordinary run.
pub fn asked() -> Option<u64> {
    let number = std::env::var_os("EXHIBIT_SOAK")?;
    Some(number.to_str().and_then(|number| number.parse().ok()).unwrap_or(1))
}

/// Schedules of a property: a thousand, a hundred thousand in a soak.
pub fn schedules() -> u32 {
    if asked().is_some() { 100_000 } else { 1_000 }
}
