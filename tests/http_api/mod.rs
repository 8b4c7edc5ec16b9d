//! What clients get over HTTP, from a real server process.

mod views;
