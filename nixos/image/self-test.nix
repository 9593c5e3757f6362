# After each switch and each boot: does the new system do what a camera is for? See self-test.sh.
#
# What it cannot catch: a kernel or a boot loader that does not start. For those the card has to be flashed again, or another
# generation written into /boot/extlinux/extlinux.conf on another computer.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  cfg = config.services.watchtower;
  test = pkgs.writeShellApplication {
    name = "self-test";
    runtimeInputs = [
      config.nix.package
    ]
    ++ (with pkgs; [
      coreutils
      curl
      gawk
      gnugrep
      gnused
      openssl
    ]);
    text = builtins.readFile ./self-test.sh;
  };
in
{
  # A switch starts it, as what the system wants and does not run; and does not stop it, which may have to switch back itself.
  # It asks on the socket for nginx; where the daemon listens elsewhere, there is none.
  systemd.services.watchtower-self-test = lib.mkIf (cfg.declared.web.listen == "systemd") {
    description = "Watchtower: does this system do what a camera is for?";
    wantedBy = [ "multi-user.target" ];
    after = [
      "nginx.service"
      "watchtower.service"
    ];
    stopIfChanged = false;
    restartIfChanged = false;
    environment.SERVER_NAME = cfg.gateway.serverName;
    unitConfig.X-StopOnRemoval = false;
    serviceConfig = {
      Type = "exec";
      ExecStart = utils.escapeSystemdExecArgs (
        [
          (lib.getExe test)
          "/run/current-system"
          "/nix/var/nix/gcroots/watchtower-good"
          "/nix/var/nix/profiles/system"
          cfg.socketPath
          (toString (if cfg.gateway.enable then cfg.gateway.port else 0))
        ]
        ++ lib.attrNames cfg.declared.cameras
      );
    };
  };
}
