# The image for a Raspberry Pi: what all boards share. `nixos-rebuild --target-host` keeps the same system up to date.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkForce mkOption;
  board = config.hardware.watchtower.board;
in
{
  imports = [
    "${modulesPath}/installer/sd-card/sd-image.nix"
    "${modulesPath}/profiles/minimal.nix"
    ./disk.nix
    ./first-boot.nix
    ./picamera.nix
    ./self-test.nix
  ];

  options = {
    hardware.watchtower.board = mkOption {
      type = lib.types.enum [
        "pi3"
        "pi4"
        "pi5"
      ];
      description = "Which Raspberry Pi this is.";
    };
    # The serial line belongs to the microcontroller: neither this module's consoles nor those of others are on it. A definition
    # that forces the whole list would take out `root=`, too.
    boot.kernelParams = mkOption {
      apply = lib.filter (param: lib.match "console=tty(S|AMA).*" param == null);
    };
  };

  config = {
    nixpkgs.hostPlatform = mkDefault "aarch64-linux";
    system.stateVersion = mkDefault "26.05";

    # A camera as it is delivered: one USB camera, and everything that the board of ancillary/hardware has.
    services.watchtower = {
      enable = true;
      cameras = mkDefault { camera.source = "v4l2:/dev/watchtower/usb"; };
      settings.storage.max_used = mkDefault 0.9;
      gateway = {
        enable = true;
        serverName = mkDefault "camera.local";
        certificate = mkDefault "/var/lib/watchtower-tls/server.pem";
        certificateKey = mkDefault "/var/lib/watchtower-tls/server.key";
        clientCa = mkDefault "/var/lib/watchtower-tls/clients-ca.pem";
        clientCrl = mkDefault "/var/lib/watchtower-tls/clients-crl.pem";
      };
      fan.enable = mkDefault true;
      serial = {
        enable = mkDefault true;
        node = mkDefault "ttyAMA0";
      };
    };
    # Numbers of video devices depend on who comes first; the first camera on USB has a name that does not.
    services.udev.extraRules = ''
      SUBSYSTEM=="video4linux", SUBSYSTEMS=="usb", ATTR{index}=="0", SYMLINK+="watchtower/usb", GROUP="watchtower-camera", MODE="0660"
    '';

    hardware.raspberry-pi = {
      firmware = {
        # A switch updates the firmware partition, config.txt included.
        enable = true;
        uboot.enable = true;
        # U-Boot must not take the microcontroller's words for a key that stops the boot.
        uboot.package = pkgs.ubootRaspberryPiAarch64.override { extraConfig = "CONFIG_BOOTDELAY=-2\n"; };
      };
      configtxt.settings.all = {
        dtparam = [ "audio=off" ];
        # From the first moment on: the fan runs until its service says otherwise, the microcontroller is not held in reset.
        gpio = [
          "5=op,dh"
          "17=pu"
        ];
      };
    };
    boot = {
      # No menu, which would listen to the serial line as well.
      loader.timeout = 0;
      loader.generic-extlinux-compatible.configurationLimit = 5;
      kernelParams = [
        "console=tty0"
        "panic=10"
        "fsck.repair=yes"
        # A line that its service lets go keeps its level: the fan runs on. Linux's own default for the first is to make it an input.
        "pinctrl_bcm2835.persist_gpio_outputs=1"
        "pinctrl_rp1.persist_gpio_outputs=1"
      ];
      kernelModules = [ "bcm2835_wdt" ];
      tmp.useTmpfs = true;
    };
    # Of all the modules that a generic image takes along, the vendor's kernel has not even every one.
    hardware.enableAllHardware = mkForce false;
    hardware.enableRedistributableFirmware = mkDefault false;
    hardware.wirelessRegulatoryDatabase = true;
    systemd.services =
      lib.genAttrs
        [
          "serial-getty@ttyS0"
          "serial-getty@ttyAMA0"
          "serial-getty@ttyAMA10"
        ]
        (_: {
          enable = false;
        });

    # Hangs are ended by the processor's watchdog, which counts to at most 15 s.
    systemd.settings.Manager = {
      RuntimeWatchdogSec = "14s";
      RebootWatchdogSec = "14s";
    };

    # What is written all the time wears out the card.
    services.journald = {
      storage = "volatile";
      extraConfig = "RuntimeMaxUse=32M";
    };
    zramSwap.enable = true;

    networking = {
      hostName = mkDefault "";
      useNetworkd = true;
      useDHCP = mkDefault true;
      wireless.iwd.enable = true;
    };
    # Without a network the camera starts and records all the same.
    systemd.network.wait-online.enable = false;
    # A Pi has no clock: the last known time is restored before anything that looks at dates.
    services.timesyncd.enable = true;
    services.openssh.enable = true;

    environment.defaultPackages = [ ];
    programs.command-not-found.enable = false;
    image.baseName = mkDefault "watchtower-${board}";
    sdImage = {
      firmwareSize = 128;
      populateRootCommands = ''
        mkdir -p ./files/boot
        ${config.boot.loader.generic-extlinux-compatible.populateCmd} -c ${config.system.build.toplevel} -d ./files/boot
      '';
    };
  };
}
