//! A home network of network namespaces: nothing of it touches the machine's own, and the ports are the real ones.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where whoever looks is sitting.
const DESK: &str = "192.168.1.1";
/// The desk's other address, of a network that the cameras can reach and do not know.
pub const OUTSIDE: &str = "10.0.0.1";

/// A switch, and the desk of whoever looks. It goes when dropped.
pub struct Lan {
    namespace: String,
}

/// A machine on it. It goes when dropped.
pub struct Host {
    namespace: String,
    /// Its address.
    pub address: String,
}

impl Lan {
    /// `None` where this machine lets nobody make one.
    pub fn new() -> Option<Self> {
        static LANS: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("wt{}-{}", std::process::id(), LANS.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("ip").args(["netns", "add", &namespace]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return None;
        }
        let lan = Self { namespace };
        lan.ip("link add br0 type bridge");
        lan.ip(&format!("addr add {DESK}/24 dev br0"));
        lan.ip(&format!("addr add {OUTSIDE}/24 dev br0"));
        lan.ip("link set br0 up");
        lan.ip("link set lo up");
        Some(lan)
    }

    fn ip(&self, args: &str) {
        ip(&self.namespace, args);
    }

    /// A machine with this address, one of 192.168.1.0/24.
    pub fn host(&self, address: &str) -> Host {
        let n = address.rsplit('.').next().expect("an address");
        let namespace = format!("{}-{n}", self.namespace);
        let made = Command::new("ip").args(["netns", "add", &namespace]).status().unwrap();
        assert!(made.success(), "{namespace}");
        let host = Host { namespace, address: address.to_owned() };
        self.ip(&format!("link add v{n} type veth peer name eth0 netns {}", host.namespace));
        self.ip(&format!("link set v{n} master br0"));
        self.ip(&format!("link set v{n} up"));
        ip(&host.namespace, &format!("addr add {}/24 dev eth0", host.address));
        ip(&host.namespace, "link set eth0 up");
        ip(&host.namespace, "link set lo up");
        ip(&host.namespace, "route add 10.0.0.0/24 dev eth0");
        host
    }

    /// A program at the desk.
    pub fn command(&self, program: &str) -> Command {
        command(&self.namespace, program)
    }
}

impl Host {
    /// A program on this machine.
    pub fn command(&self, program: &str) -> Command {
        command(&self.namespace, program)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        delete(&self.namespace);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        delete(&self.namespace);
    }
}

fn delete(namespace: &str) {
    let _ = Command::new("ip").args(["netns", "del", namespace]).status();
}

fn ip(namespace: &str, args: &str) {
    let output = Command::new("ip").args(["-n", namespace]).args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

fn command(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}
