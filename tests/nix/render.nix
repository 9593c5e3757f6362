# What a NixOS configuration is as texts: all that is known without building anything. For tests/nix/render.
{ config, pkgs, ... }:
let
  inherit (pkgs) lib;
  plain = builtins.unsafeDiscardStringContext;
  contextOf = value: lib.attrNames (builtins.getContext "${value}");
  ours = names: lib.filterAttrs (name: _: lib.any (match: builtins.match match name != null) names);
  at = path: default: lib.attrByPath path default config;

  units = lib.filterAttrs (_: unit: unit.enable && unit.text != null) (
    ours [
      "(watchtower|nginx|nftables).*"
      "var-lib-watchtower.mount"
    ] config.systemd.units
  );
  etc = lib.filterAttrs (_: file: file.enable) (
    ours [
      "watchtower/.*"
      "ssh/sshd_config"
      "fstab"
      "modprobe\\.d/.*"
      "modules-load\\.d/nixos\\.conf"
      "systemd/(system|journald|timesyncd)\\.conf"
      "iwd/.*"
    ] config.environment.etc
  );
  configTxt = at [ "hardware" "raspberry-pi" "configtxt" "file" ] null;
in
{
  units = lib.mapAttrs (_: unit: plain unit.text) units;
  etc = lib.mapAttrs (_: file: plain "${file.source}") etc;
  # Of the folder's files those that are ours: a text of its own each.
  tmpfiles = lib.listToAttrs (
    map (file: lib.nameValuePair (baseNameOf file.destination) (plain file.text)) (
      lib.filter (
        package: lib.hasInfix "watchtower" (package.destination or "")
      ) config.systemd.tmpfiles.packages
    )
  );
  udevRules = plain config.services.udev.extraRules;
  nftables = lib.optionals config.networking.nftables.enable (
    map (table: "table ${table.family} ${table.name} {\n${plain table.content}\n}\n") (
      lib.filter (table: table.enable) (lib.attrValues config.networking.nftables.tables)
    )
  );
  configTxt = if configTxt != null && configTxt ? text then plain configTxt.text else null;
  meta = {
    inherit (config.boot) kernelParams kernelModules;
    kernel = config.boot.kernelPackages.kernel.version;
    failedAssertions = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
    groups = lib.attrNames (ours [ "(watchtower|nginx).*" ] config.users.groups);
    users = lib.mapAttrs (_: user: user.group) (ours [ "(watchtower|nginx).*" ] config.users.users);
    tcpPorts = config.networking.firewall.allowedTCPPorts;
    udpPorts = config.networking.firewall.allowedUDPPorts;
    disabledUnits = lib.attrNames (lib.filterAttrs (_: unit: !unit.enable) config.systemd.units);
    inherit (config) warnings;
    versions = {
      nixos = config.system.nixos.release;
      nginx = config.services.nginx.package.version;
      systemd = pkgs.systemd.version;
    };
  };
  # The derivations behind the texts, for texts that lie behind store paths.
  roots = lib.unique (
    lib.concatMap (unit: lib.attrNames (builtins.getContext unit.text)) (lib.attrValues units)
    ++ lib.concatMap (file: contextOf file.source) (lib.attrValues etc)
  );
}
