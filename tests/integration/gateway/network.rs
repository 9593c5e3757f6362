//! A home network of network namespaces: nothing of it touches the machine's own, and the ports are the real ones.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A switch, and the desk of whoever looks. It goes when dropped.
pub struct Lan {
    namespace: String,
    hosts: AtomicU32,
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
        let lan = Self { namespace, hosts: AtomicU32::new(1) };
        lan.ip("link add br0 type bridge");
        lan.ip("addr add 10.77.0.1/24 dev br0");
        lan.ip("link set br0 up");
        lan.ip("link set lo up");
        Some(lan)
    }

    fn ip(&self, args: &str) {
        ip(&self.namespace, args);
    }

    pub fn host(&self) -> Host {
        let n = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let namespace = format!("{}-{n}", self.namespace);
        let made = Command::new("ip").args(["netns", "add", &namespace]).status().unwrap();
        assert!(made.success(), "{namespace}");
        let host = Host { namespace, address: format!("10.77.0.{n}") };
        self.ip(&format!("link add v{n} type veth peer name eth0 netns {}", host.namespace));
        self.ip(&format!("link set v{n} master br0"));
        self.ip(&format!("link set v{n} up"));
        ip(&host.namespace, &format!("addr add {}/24 dev eth0", host.address));
        ip(&host.namespace, "link set eth0 up");
        ip(&host.namespace, "link set lo up");
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
