//! Which address is the phone's, where nobody said.
