# What comes in: SSH and HTTPS, from everywhere or from the addresses that are listed. Nothing else, not even an echo.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.watchtower;
  opt = cfg.firewall;
  addresses = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "192.168.1.0/24" ];
  };
  isV6 = lib.hasInfix ":";
  # nft takes the two families apart.
  accept =
    port: allowed:
    let
      rule =
        family: list:
        lib.optionalString (
          list != [ ]
        ) "${family} saddr { ${lib.concatStringsSep ", " list} } tcp dport ${toString port} accept\n";
    in
    rule "ip" (lib.filter (a: !isV6 a) allowed) + rule "ip6" (lib.filter isV6 allowed);
in
{
  options.services.watchtower.firewall = {
    enable = mkOption {
      type = types.bool;
      default = cfg.gateway.enable;
      defaultText = lib.literalExpression "gateway.enable";
      description = "Whether everything but SSH and HTTPS is kept out (nftables), and SSH takes keys only.";
    };
    sshFrom = addresses // {
      description = "Addresses and networks that may reach SSH; all if empty.";
    };
    httpsFrom = addresses // {
      description = "Addresses and networks that may reach the gateway; all if empty.";
    };
  };

  config = lib.mkIf (cfg.enable && opt.enable) {
    networking.nftables.enable = true;
    networking.firewall = {
      enable = true;
      allowPing = false;
      allowedTCPPorts = lib.optional (cfg.gateway.enable && opt.httpsFrom == [ ]) cfg.gateway.port;
      extraInputRules =
        lib.concatMapStrings (port: accept port opt.sshFrom) config.services.openssh.ports
        + lib.optionalString cfg.gateway.enable (accept cfg.gateway.port opt.httpsFrom);
    };
    services.openssh = {
      openFirewall = opt.sshFrom == [ ];
      settings = {
        KbdInteractiveAuthentication = false;
        PasswordAuthentication = false;
        PermitRootLogin = "prohibit-password";
      };
    };
  };
}
