# What the owner wrote on the FAT partition is taken over before anything that needs it; see first-boot.sh.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  state = "/var/lib/watchtower-setup";
  inherit (config.services.watchtower) gateway;
  take = pkgs.writeShellApplication {
    name = "first-boot";
    runtimeInputs = with pkgs; [
      coreutils
      gnugrep
      openssh
      openssl
    ];
    text = builtins.readFile ./first-boot.sh;
    # It goes on after a fault, and says so.
    bashOptions = [ ];
  };
in
{
  services.openssh.authorizedKeysFiles = [ "${state}/authorized_keys" ];

  systemd.services.watchtower-first-boot = {
    description = "Watchtower: what the owner wrote on the card";
    # Nothing depends on it, so that no fault of it keeps the camera from starting.
    wantedBy = [ "multi-user.target" ];
    before = [
      "iwd.service"
      "nginx.service"
      "sshd.service"
      "watchtower.service"
      "watchtower-identity.service"
    ];
    unitConfig = {
      ConditionPathExists = [
        "|/boot/firmware/watchtower-setup.txt"
        "|/boot/firmware/watchtower-setup"
      ];
      RequiresMountsFor = "/boot/firmware";
    };
    restartIfChanged = false;
    environment.HOST_NAME = config.networking.hostName;
    serviceConfig = {
      Type = "oneshot";
      TimeoutStartSec = "1min";
      ExecStart = utils.escapeSystemdExecArgs (
        [
          (lib.getExe take)
          "/boot/firmware"
          ""
        ]
        ++ lib.optionals gateway.enable (
          [
            gateway.certificate
            gateway.certificateKey
            gateway.clientCa
          ]
          ++ lib.optional (gateway.clientCrl != null) gateway.clientCrl
        )
      );
      StateDirectory = [
        "iwd"
        "watchtower-setup"
        "watchtower-tls"
      ];
      StateDirectoryMode = "0700";
    };
  };

  # The name and the radio's country, at every boot.
  systemd.services.watchtower-identity = {
    description = "Watchtower: host name and Wi-Fi country from the card";
    wantedBy = [ "multi-user.target" ];
    before = [
      "iwd.service"
      "systemd-networkd.service"
    ];
    path = with pkgs; [
      hostname
      iw
    ];
    serviceConfig.Type = "oneshot";
    script = ''
      ${lib.optionalString (config.networking.hostName == "") ''
        if [ -s ${state}/host-name ]; then hostname "$(cat ${state}/host-name)"; fi
      ''}
      if [ -s ${state}/wifi-country ]; then iw reg set "$(cat ${state}/wifi-country)" || true; fi
    '';
  };
}
