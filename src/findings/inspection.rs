//! What `inspect` prints: the engine's view of one capture, without a scenario.
