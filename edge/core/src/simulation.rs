//! The core under virtual time: a host whose stores lose values, whose origin is slow, fails
//! or hangs, whose queue refuses and whose isolates die. Every run follows from its seed.

mod device;
mod down;
mod herd;
mod http;
mod origin;
mod purges;
mod random;
mod reading;
mod scenarios;
mod seeds;
mod world;
