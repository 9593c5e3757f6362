//! Says at build time what would otherwise only be noticed as a slow camera: openh264 without its assembly.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=PATH");
    let x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64" || arch == "x86");
    let nasm = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| Path::new(&dir).join("nasm").is_file()));
    if x86 && !nasm {
        println!(
            "cargo::warning=nasm is missing: H.264 encoding will take twice the CPU time. Install nasm and rebuild."
        );
    }
    println!("cargo::rustc-env=WATCHTOWER_H264_ASSEMBLY={}", if x86 && !nasm { "no" } else { "yes" });
}
